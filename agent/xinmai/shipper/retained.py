"""Which inventories the broker keeps for this node: known over restarts, so that none is left.

A boot, an upgrade and a hot-plug each make a new one.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

log = logging.getLogger("xinmai.shipper")

_is_schema = re.compile("[0-9a-f]{16}").fullmatch


class Retained:
    """A small set of schemas in a file.

    Args:
        path: one schema a line; what is no schema is passed over. None: in memory only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.schemas = set(filter(_is_schema, _lines(path)))

    def add(self, schema: str) -> None:
        """Called before it is published."""
        if schema not in self.schemas:
            self.schemas.add(schema)
            self._write()

    def discard(self, schema: str) -> None:
        """Called after it is cleared."""
        if schema in self.schemas:
            self.schemas.discard(schema)
            self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_text("".join(f"{one}\n" for one in sorted(self.schemas)), "ascii")
            os.replace(temporary, self._path)  # noqa: PTH105 - atomic by name
        except OSError as error:
            log.warning("retained inventories not noted: path=%s error=%s", self._path, error)


def _lines(path: Path | None) -> list[str]:
    try:
        return path.read_text("ascii", "replace").split() if path is not None else []
    except OSError:
        return []
