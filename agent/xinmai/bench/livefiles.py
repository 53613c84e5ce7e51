"""A sensor chip whose readings change a thousand times a second, as files.

The readings are the built-in traces. A process of its own writes them through shared mappings, so
that what it costs is nobody else's.
"""

from __future__ import annotations

import mmap
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from xinmai import clock
from xinmai.bench import traces
from xinmai.clock import SECOND_NS
from xinmai.errors import XinmaiError

SENSORS = traces.DEVICES * traces.METRICS
RATE_HZ = 1000
SECONDS = 4
"""After so many the traces begin again."""
SEED = 2
MOST = 40_000_000_000
"""40 kW in microwatts: a plausible reading of a sensor of power."""
_TEXT_BYTES = 16


def make_chip(root: Path) -> list[Path]:
    """A chip of SENSORS sensors under a root of its own; returns the sensors' files.

    Each reader has its own: of two that read the same, the first fetches what was written into the
    cache for the second.
    """
    chip = root / "sys/class/hwmon/hwmon0"
    chip.mkdir(parents=True)
    (chip / "name").write_text("bench\n", "ascii")
    files = [chip / f"power{number}_input" for number in range(1, SENSORS + 1)]
    for file in files:
        file.write_bytes(_text(0))
    return files


@contextmanager
def writing(files: Sequence[Path]) -> Iterator[None]:
    """Files of one chip or several, which change as long as this lasts.

    Raises:
        XinmaiError: they do not change.
    """
    argv = [sys.executable, "-m", "xinmai.bench.livefiles", *map(str, files)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if not process.stdout.read(1):
            raise XinmaiError(f"cannot write {files[0]} and its like: see above for the reason")
        try:
            yield
        finally:
            process.terminate()


def _text(value: int) -> bytes:
    """As the kernel writes it, and zeros behind the end of the line: files keep their length."""
    return f"{value}\n".encode("ascii").ljust(_TEXT_BYTES, b"\0")


def _plausible(column: array[int]) -> Iterator[int]:
    """Counters begin near nought; what does not fit even so is left out of the high digits."""
    low = min(column) if max(column) > MOST else 0
    return ((cell - low) % MOST for cell in column)


def _texts() -> list[list[bytes]]:
    """By tick, the text of each sensor."""
    columns = traces.node(SEED, RATE_HZ * SECONDS, RATE_HZ)
    texts = [[_text(cell) for cell in _plausible(column)] for column in columns]
    return [list(row) for row in zip(*texts, strict=True)]


def _mapped(file: Path) -> mmap.mmap:
    with file.open("r+b") as opened:
        return mmap.mmap(opened.fileno(), _TEXT_BYTES)


def main(names: Sequence[str]) -> None:
    """Write until killed; says so with one byte once the first row stands."""
    rows, maps = _texts(), [_mapped(Path(name)) for name in names]
    chips = len(maps) // SENSORS
    period_ns = SECOND_NS // RATE_HZ
    due_ns = clock.mono_ns()
    told = False
    while True:
        for row in rows:
            for target, text in zip(maps, row * chips, strict=True):
                target[:] = text
            if not told:
                told = sys.stdout.write(".") > 0
                sys.stdout.flush()
            due_ns = max(due_ns + period_ns, clock.mono_ns() - SECOND_NS)
            time.sleep(max(0, due_ns - clock.mono_ns()) / SECOND_NS)


if __name__ == "__main__":
    main(sys.argv[1:])
