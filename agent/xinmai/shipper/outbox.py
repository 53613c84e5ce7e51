"""Which record is sent next, and what `stored` says of those that were (design: delivery).

Live records pass a backlog: what was held when the connection began is old and waits. A record is
sent again when something sent behind it is stored and it is not, when the collector is another
one, or when nothing is stored for a while. Does no I/O but reading the spool's index.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from xinmai.config import ShipperConfig
from xinmai.shipper.sendstate import SendState
from xinmai.spool.spools import SpoolSet
from xinmai.wire.messages import STREAMS, Ranges, Stored, Stream

RESEND_AFTER_S = 5.0
RESEND_AT_MOST_S = 60.0
PAUSE_S = 5.0
PAUSE_AT_MOST_S = 60.0
UNSTORED_RECORDS = 4096
"""However small they are: each is remembered until it is stored."""
BACKLOG_BYTES_PER_S = 2 * 2**20
BURST_S = 0.25


class Item(NamedTuple):
    """A record of the spool."""

    stream: Stream
    queue: str
    seq: int
    size: int


@dataclass(slots=True)
class _Sent:
    """A record that is sent and not stored.

    Args:
        order: counts sends: what was sent before something that is stored should be stored.
    """

    item: Item
    order: int
    sent_s: float
    times: int
    acked: bool = False

    def may_go_again(self, now_s: float) -> bool:
        """At once the first time, then ever more slowly."""
        wait_s = 0.0 if self.times == 1 else RESEND_AFTER_S * 2.0 ** min(self.times - 2, 4)
        return self.acked and now_s - self.sent_s >= min(RESEND_AT_MOST_S, wait_s)


@dataclass(slots=True)
class _Feed:
    """A stream's live or old records in order.

    Args:
        again: those to be repeated.
        is_spent: no other can come: the old ones are all sent.
    """

    cursor: tuple[str, int] = ("", 0)
    again: OrderedDict[tuple[str, int], _Sent] = field(default_factory=OrderedDict)
    is_spent: bool = False


@dataclass(slots=True)
class _Pause:
    """The broker refuses a stream: nothing of it is sent for a while."""

    until_s: float
    length_s: float


class Outbox:
    """Everything that is to be sent on one connection after another.

    Args:
        now_s: a monotonic clock.
    """

    def __init__(
        self,
        spools: SpoolSet,
        config: ShipperConfig,
        state: SendState,
        now_s: Callable[[], float],
    ) -> None:
        self._spools, self._config = spools, config
        self._state, self._now_s = state, now_s
        self._sent: dict[Stream, dict[tuple[str, int], _Sent]] = {s: {} for s in STREAMS}
        self._live: dict[Stream, _Feed] = {}
        self._old: dict[Stream, _Feed] = {}
        self._border: dict[Stream, tuple[str, int]] = {}
        self._pauses: dict[Stream, _Pause] = {}
        self._stored: dict[tuple[Stream, str], Ranges] = {}
        self._collector: tuple[str, int] | None = None
        self._changed_s = float("-inf")
        self._order = self._acked = self._on_their_way = 0
        self._old_due_s = 0.0
        self._quiet_s = self._now_s()
        self._resend_s = RESEND_AFTER_S
        self.unhurried = True
        self.start()

    def start(self) -> None:
        """A new connection: whatever the old one sent may be lost."""
        for stream in STREAMS:
            self._sent[stream].clear()
            queue, seq = self._newest(stream)
            self._border[stream] = (queue, seq + 1)
            self._live[stream], self._old[stream] = _Feed((queue, seq)), _Feed()
        self._pauses.clear()
        self._has_old = True
        self._acked = self._on_their_way = self._state.unstored_bytes = 0
        self._progress()

    def hurry(self) -> None:
        """This process leaves: the backlog has no more time to wait."""
        self.unhurried = False

    def next(self) -> Item | None:
        """What to send now; None: nothing, or a window, a pause or the backlog's rate says wait.

        It stays the next until `sending` or `skip`.
        """
        if self._on_their_way >= UNSTORED_RECORDS:
            return None
        item = self._first(self._live)
        if item is None and self._has_old and self._old_may_go():
            item = self._first(self._old)
            self._has_old = item is not None or not all(
                feed.is_spent and not feed.again for feed in self._old.values()
            )
        return item if item is not None and self._has_room(item) else None

    def _has_room(self, item: Item) -> bool:
        unstored = self._state.unstored_bytes
        return not unstored or unstored + item.size <= self._config.unstored_bytes

    def _old_may_go(self) -> bool:
        return not self.unhurried or self._old_due_s <= self._now_s()

    def _first(self, feeds: Mapping[Stream, _Feed]) -> Item | None:
        for stream, feed in feeds.items():
            if self._pauses and self._is_paused(stream):
                continue
            if (item := self._peek(stream, feed)) is not None:
                return item
        return None

    def _is_paused(self, stream: Stream) -> bool:
        pause = self._pauses.get(stream)
        return pause is not None and self._now_s() < pause.until_s

    def _peek(self, stream: Stream, feed: _Feed) -> Item | None:
        if feed.again:
            return next(iter(feed.again.values())).item
        if not feed.is_spent and feed.cursor != self._newest(stream):
            for queue, seq, size in self._spools[stream].unstored(*feed.cursor):
                if self._is_live(stream, queue, seq) != (feed is self._live[stream]):
                    break
                if (queue, seq) not in self._sent[stream]:
                    return Item(stream, queue, seq, size)
        # What is old does not become more.
        feed.is_spent = feed is self._old[stream]
        return None

    def _newest(self, stream: Stream) -> tuple[str, int]:
        queue, seq = self._spools[stream].next_identity()
        return queue, seq - 1

    def _is_live(self, stream: Stream, queue: str, seq: int) -> bool:
        border = self._border[stream]
        return queue == border[0] and seq >= border[1]

    def _feed(self, item: Item) -> _Feed:
        is_live = self._is_live(item.stream, item.queue, item.seq)
        return (self._live if is_live else self._old)[item.stream]

    def skip(self, item: Item) -> _Sent | None:
        """Go on behind a record; returns what was known of it."""
        feed, key = self._feed(item), (item.queue, item.seq)
        before = feed.again.pop(key, None)
        if before is None:
            feed.cursor = key
        return before

    def sending(self, item: Item) -> None:
        """It is handed to the connection now."""
        before, now_s = self.skip(item), self._now_s()
        self._order += 1
        times = before.times + 1 if before else 1
        self._sent[item.stream][item.queue, item.seq] = _Sent(item, self._order, now_s, times)
        if not self._state.unstored_bytes:
            self._quiet_s = now_s
        self._state.unstored_bytes += item.size
        self._on_their_way += 1
        if not self._is_live(item.stream, item.queue, item.seq):
            begun_s = max(self._old_due_s, now_s - BURST_S)
            self._old_due_s = begun_s + item.size / BACKLOG_BYTES_PER_S

    def acked(self, item: Item) -> None:
        """The broker has it, which is not yet delivery."""
        self._pauses.pop(item.stream, None)
        if self._config.confirm == "puback":
            self._spools[item.stream].mark_stored(item.queue, [(item.seq, item.seq)])
            self.forget(item)
            return
        sent = self._sent[item.stream].get((item.queue, item.seq))
        if sent is not None and not sent.acked:
            if not self._acked:
                self._quiet_s = self._now_s()
            sent.acked = True
            self._acked += 1

    def forget(self, item: Item) -> None:
        """It is stored, or given up."""
        key = (item.queue, item.seq)
        self._pop(item.stream, key)
        self._feed(item).again.pop(key, None)

    def refused(self, item: Item) -> None:
        """The broker said no; it may say yes later, so keep the record and pause the stream."""
        sent = self._pop(item.stream, (item.queue, item.seq))
        if sent is not None:
            self._put_back(sent)
        self.pause(item.stream)

    def pause(self, stream: Stream) -> None:
        """Send nothing of a stream for a while, longer each time until something is taken."""
        now_s, before = self._now_s(), self._pauses.get(stream)
        if before is None:
            self._pauses[stream] = _Pause(now_s + PAUSE_S, PAUSE_S)
        elif now_s >= before.until_s:
            length_s = min(PAUSE_AT_MOST_S, 2 * before.length_s)
            self._pauses[stream] = _Pause(now_s + length_s, length_s)

    def stored(self, stored: Stored) -> None:
        """What a collector holds durably."""
        for stream, queues in stored.streams.items():
            newest = max((self._close(stream, *one) for one in queues.items()), default=0)
            self._repeat(sent for sent in list(self._sent[stream].values()) if sent.order < newest)
        self._look_at_collector((stored.collector, stored.session))

    def _close(self, stream: Stream, queue: str, ranges: Ranges) -> int:
        """Take ranges for stored; returns the highest order of a send among what is new."""
        if self._stored.get((stream, queue)) == ranges:
            return 0
        self._stored[stream, queue] = ranges
        self._spools[stream].mark_stored(queue, ranges)
        newest, firsts = 0, [first for first, _ in ranges]
        for key in [key for key in self._sent[stream] if key[0] == queue]:
            at = bisect_right(firsts, key[1]) - 1
            if at >= 0 and key[1] <= ranges[at][1]:
                sent = self._pop(stream, key)
                newest = max(newest, sent.order if sent else 0)
        if newest:
            self._progress()
        return newest

    def _look_at_collector(self, collector: tuple[str, int]) -> None:
        """Another session may have lost what the one before had not stored (WIRE-51)."""
        now_s = self._now_s()
        if collector == self._collector:
            return
        self._collector, self._state.collector = collector, collector[0]
        if now_s - self._changed_s >= RESEND_AFTER_S:
            self._changed_s = now_s
            self._repeat_all()

    def resend_if_due(self) -> None:
        """Nothing is stored for a while though the broker has it: again, ever more slowly."""
        if not self._acked:
            self._quiet_s = self._now_s()
        elif self._now_s() - self._quiet_s >= self._resend_s:
            self._repeat_all()
            self._quiet_s = self._now_s()
            self._resend_s = min(RESEND_AT_MOST_S, 2 * self._resend_s)

    def _progress(self) -> None:
        self._quiet_s, self._resend_s = self._now_s(), RESEND_AFTER_S

    def _repeat_all(self) -> None:
        for sent in [sent for sents in self._sent.values() for sent in sents.values()]:
            if sent.acked:
                self._repeat_one(sent)

    def _repeat(self, sents: Iterator[_Sent]) -> None:
        now_s = self._now_s()
        for sent in sents:
            if sent.may_go_again(now_s):
                self._repeat_one(sent)

    def _repeat_one(self, sent: _Sent) -> None:
        self._pop(sent.item.stream, (sent.item.queue, sent.item.seq))
        self._put_back(sent)
        self._state.resent += 1

    def _put_back(self, sent: _Sent) -> None:
        self._feed(sent.item).again[sent.item.queue, sent.item.seq] = sent
        self._has_old = True

    def _pop(self, stream: Stream, key: tuple[str, int]) -> _Sent | None:
        sent = self._sent[stream].pop(key, None)
        if sent is not None:
            self._state.unstored_bytes -= sent.item.size
            self._on_their_way -= 1
            self._acked -= sent.acked
        return sent

    def wait_s(self) -> float | None:
        """When to ask again though nothing happened; None: when something does."""
        now_s = self._now_s()
        waits = [pause.until_s - now_s for pause in self._pauses.values() if now_s < pause.until_s]
        if self._state.unstored_bytes:
            waits.append(self._quiet_s + self._resend_s - now_s)
        if self._has_old and not self._old_may_go():
            waits.append(max(self._old_due_s - now_s, BURST_S / 2))
        return max(0.0, min(waits)) if waits else None

    @property
    def delivered(self) -> bool:
        """Whether everything in the spools is stored."""
        return all(next(spool.unstored(), None) is None for spool in self._spools)
