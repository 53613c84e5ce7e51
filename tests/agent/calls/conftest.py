from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path
from typing import Any

import cffi
import pytest

from agent.calls.rig import Binding, Cffi, Ctypes
from fakes.clib import declarations


@pytest.fixture(scope="session")
def in_line(tinysdk: Path) -> Cffi:
    ffi = cffi.FFI()
    ffi.cdef(declarations("tinysdk.h"))
    return Cffi(ffi, ffi.dlopen(str(tinysdk)))


@pytest.fixture(scope="session")
def out_of_line(tinysdk: Path) -> Cffi:
    """As a plugin's binding is generated: nothing is parsed when it is loaded."""
    builder = cffi.FFI()
    builder.set_source("tinysdk_binding", None)
    builder.cdef(declarations("tinysdk.h"))
    made = tinysdk.parent / "tinysdk_binding.py"
    builder.emit_python_code(str(made))
    spec = importlib.util.spec_from_file_location("tinysdk_binding", made)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ffi: Any = module.ffi
    return Cffi(ffi, ffi.dlopen(str(tinysdk)))


@pytest.fixture(scope="session")
def by_ctypes(tinysdk: Path) -> Ctypes:
    return Ctypes(ctypes.CDLL(str(tinysdk)))


@pytest.fixture(params=["in_line", "out_of_line", "by_ctypes"])
def binding(request: pytest.FixtureRequest) -> Binding:
    found: Binding = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["in_line", "out_of_line"])
def by_cffi(request: pytest.FixtureRequest) -> Cffi:
    found: Cffi = request.getfixturevalue(request.param)
    return found
