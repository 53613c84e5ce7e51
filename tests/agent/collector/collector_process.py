"""A collector as a process of its own, for tests that kill it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

from xinmai.collector.daemon import run
from xinmai.config import BrokerConfig, CollectorConfig, Config, NodeConfig


def config_of(url: str, store: Path, *, seal_bytes: int = 2**20) -> Config:
    return Config(
        NodeConfig("test"),
        broker=BrokerConfig(url),
        collector=CollectorConfig(
            store_dir=store, listen="127.0.0.1:0", seal_s=3600, seal_bytes=seal_bytes
        ),
    )


class Process:
    """Starts at once; `url` when it serves."""

    def __init__(self, url: str, store: Path, seal_bytes: int) -> None:
        command = [sys.executable, __file__, url, str(store), str(seal_bytes)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, env=environment, text=True
        )
        line = self._out.readline()
        assert line, "the collector ended before it served"
        self.url = line.strip()

    @property
    def _out(self) -> IO[str]:
        assert self._process.stdout
        return self._process.stdout

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._end()

    def terminate(self) -> int:
        """SIGTERM; its exit code."""
        self._process.terminate()
        return self._end()

    def _end(self) -> int:
        code = self._process.wait(20)
        self._out.close()
        return code


async def main() -> None:
    url, store, seal_bytes = sys.argv[1:]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    config = config_of(url, Path(store), seal_bytes=int(seal_bytes))
    await run(config, stop, lambda said: print(said, flush=True))


if __name__ == "__main__":
    asyncio.run(main())
