from __future__ import annotations

from pathlib import Path

import pytest

from fakes.clib import build


@pytest.fixture(scope="session")
def tinysdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of `fakes/tinysdk.c`."""
    return build("tinysdk.c", tmp_path_factory.mktemp("tinysdk") / "libtinysdk.so")
