# SPDX-License-Identifier: Apache-2.0
"""Builds the C extension; everything else about the package stands in pyproject.toml."""

from pathlib import Path

from cffi import FFI
from setuptools import Extension, setup

NATIVE = Path("native")
SOURCES = [*sorted(NATIVE.glob("*.c")), *sorted(NATIVE.glob("bench/*.c"))]
HEADERS = [*sorted(NATIVE.glob("*.h")), *sorted(NATIVE.glob("bench/*.h"))]
EXPORTS = NATIVE / "core.map"


def compile_abis() -> None:
    """Turn each plugin's C declarations into a module that a host imports without parsing."""
    for header in sorted(Path("plugins").glob("*/*/abi.h")):
        ffi = FFI()
        ffi.cdef(header.read_text("utf-8"))
        ffi.set_source(".".join([*header.parent.parts[1:], "_abi"]), None)
        ffi.emit_python_code(str(header.with_name("_abi.py")))


compile_abis()

setup(
    ext_modules=[
        Extension(
            "xinmai_native._core",
            sources=[str(path) for path in SOURCES],
            depends=[str(path) for path in [*HEADERS, EXPORTS]],
            include_dirs=[str(NATIVE)],
            define_macros=[("Py_LIMITED_API", "0x030B0000"), ("_GNU_SOURCE", "1")],
            py_limited_api=True,
            extra_compile_args=[
                "-std=c11",
                "-O2",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-fvisibility=hidden",
                "-pthread",
            ],
            extra_link_args=["-pthread", f"-Wl,--version-script={EXPORTS}"],
        )
    ],
    # One wheel for every CPython from 3.11 on.
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
