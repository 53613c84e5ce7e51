"""When to try again."""

from __future__ import annotations

import random

_MAX_DOUBLINGS = 30


class Backoff:
    """Full jitter from the first attempt on (D9).

    Args:
        base_s, cap_s: the n-th delay is uniform in [0, min(cap, base * 2^n)].
        spread_s: window of the very first delay, so that a fleet does not return at once.
        source: of randomness; a test brings its own.
    """

    def __init__(
        self,
        base_s: float = 1.0,
        cap_s: float = 60.0,
        spread_s: float = 1.0,
        *,
        source: random.Random | None = None,
    ) -> None:
        self._base_s, self._cap_s, self._spread_s = base_s, cap_s, spread_s
        self._source = source or random.Random()
        self._attempts = 0

    def delay_s(self) -> float:
        """The next delay."""
        window_s = self._window_s()
        self._attempts += 1
        return self._source.uniform(0, window_s)

    def stable(self) -> None:
        """The connection has held for a while: start over."""
        self._attempts = 0

    def _window_s(self) -> float:
        if not self._attempts:
            return self._spread_s
        doublings = min(self._attempts, _MAX_DOUBLINGS)
        return min(self._cap_s, self._base_s * 2.0**doublings)
