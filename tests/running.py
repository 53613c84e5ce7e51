"""A real `xinmai up` for tests: started as a user would, watched by its processes' names."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from xinmai.broker import free_port

T = TypeVar("T")

AGENT, SAMPLER, SHIPPER, COLLECTOR = "xm-agent", "xm-sampler", "xm-shipper", "xm-collector"


@dataclass
class UpRun:
    """One run in its own state directory.

    Args:
        base: directory that holds state, run directory and store.
        options: further words of the command line.
        path: PATH of the run; None for the test's own.
    """

    base: Path
    options: list[str] = field(default_factory=list)
    path: str | None = None
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def settings(self) -> list[str]:
        """`--set` words that put everything below `base`."""
        return [
            "--set",
            f"node.state_dir={self.base}/state",
            "--set",
            f"node.run_dir={self.base}/run",
            "--set",
            f"collector.store_dir={self.base}/state/store",
            "--set",
            f"collector.listen=127.0.0.1:{self.port}",
        ]

    def start(self, *extra: str) -> None:
        """Start `xinmai up --json`."""
        environment = dict(os.environ)
        if self.path is not None:
            environment["PATH"] = self.path
        self.process = subprocess.Popen(
            [sys.executable, "-m", "xinmai", "up", "--json", *self.settings, *self.options, *extra],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def finish(self, timeout_s: float = 90.0) -> tuple[int, dict[str, Any], str]:
        """(exit code, summary, stderr) at its end."""
        assert self.process is not None
        out, err = self.process.communicate(timeout=timeout_s)
        lines = out.strip().splitlines()
        return self.process.returncode, json.loads(lines[-1]) if lines else {}, err

    def stop(self) -> tuple[int, dict[str, Any], str]:
        """SIGINT, as Ctrl-C does, and its end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.finish()

    def abandon(self) -> None:
        """End whatever is left; for the end of a failed test."""
        if self.process is None:
            return
        for pid in [*(one.pid for one in self.tree()), self.process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.communicate()

    def tree(self) -> list[psutil.Process]:
        """Every process below the command."""
        assert self.process is not None
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def pid_of(self, name: str) -> int | None:
        """Process id by comm name; None while there is none."""
        for one in self.tree():
            try:
                if Path(f"/proc/{one.pid}/comm").read_text("utf-8").strip() == name:
                    return one.pid
            except OSError:
                continue
        return None

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command on the same directories."""
        return subprocess.run(
            [sys.executable, "-m", "xinmai", words[0], *self.settings, *words[1:]],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Rows of `xinmai query --json`."""
        done = self.run("query", "--json", sql)
        assert done.returncode == 0, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows


def eventually(look: Callable[[], T | None], what: str, timeout_s: float = 20.0) -> T:
    """Poll until something is there; fails by saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout_s:g} s for {what}")
