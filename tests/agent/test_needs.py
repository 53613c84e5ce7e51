from __future__ import annotations

import os
from pathlib import Path

import pytest

from fakes.fakesys import Machine, build
from xinmai.needs import CAPABILITIES, MissingNeed, Need, missing


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return build(
        tmp_path,
        """
/dev/davinci0:
/dev/davinci_manager:
/usr/lib/x86_64-linux-gnu/libone.so.1:
/opt/vendor/lib/libtwo.so:
/opt/vendor/lib/libthree.so:
/etc/ld.so.conf.d/vendor.conf: /opt/vendor/lib
/etc/group:
    video:x:44:
    root:x:0:
/sys/bus/pci/devices/0000:01:00.0/vendor: 0x19E5
/sys/bus/pci/devices/0000:01:00.0/device: 0xd802
/proc/self/status:
    Name:	python
    CapEff:	0000000000000004
""",
    )


def _lacks(machine: Machine, kind: str, *items: str) -> str:
    found = missing([Need(kind, items, "do this")], machine.root)
    return found[0].on if found else ""


@pytest.mark.parametrize(
    ("kind", "items", "lacks"),
    [
        ("any_path", ("/dev/nvidiactl", "/dev/davinci*"), ""),
        ("any_path", ("/dev/a", "/dev/b"), "/dev/a, /dev/b"),
        ("paths", ("/dev/davinci0", "/dev/davinci_manager"), ""),
        ("paths", ("/dev/davinci0", "/dev/hisi_hdc"), "/dev/hisi_hdc"),
        ("libraries", ("libone.so.1",), ""),
        ("libraries", ("libnone.so", "libtwo.so"), ""),
        ("libraries", ("/opt/vendor/lib/lib*ree.so",), ""),
        (
            "libraries",
            ("/opt/vendor/lib/libnone.so", "libnone.so"),
            "/opt/vendor/lib/libnone.so, libnone.so",
        ),
        ("capabilities", ("CAP_DAC_READ_SEARCH",), ""),
        ("capabilities", ("CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH"), "CAP_SYS_ADMIN"),
        ("pci", ("19e5",), ""),
        ("pci", ("10de", "19e5:d802"), ""),
        ("pci", ("19e5:d801",), "19e5:d801"),
    ],
)
def test_need(machine: Machine, kind: str, items: tuple[str, ...], lacks: str) -> None:
    assert _lacks(machine, kind, *items) == lacks


def test_library_path_of_the_environment_counts(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.write("/elsewhere/libfour.so", "")
    assert _lacks(machine, "libraries", "libfour.so") == "libfour.so"
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere::{tmp_path}/elsewhere")
    assert _lacks(machine, "libraries", "libfour.so") == ""


def test_groups_matter_to_everybody_but_root(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert _lacks(machine, "groups", "render") == ""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: [44])
    assert _lacks(machine, "groups", "video") == ""
    assert _lacks(machine, "groups", "video", "root", "render") == "root, render"


def test_missing_need_says_what_on_what_and_the_fix(machine: Machine) -> None:
    need = Need("paths", ("/dev/x",), "load the driver", optional=True)
    assert missing([need], machine.root) == [
        MissingNeed("find", "/dev/x", "load the driver", optional=True)
    ]


def test_configured_key_makes_a_need_void(machine: Machine) -> None:
    need = Need("libraries", ("libnone.so",), "install it", unless="library")
    assert missing([need], machine.root)
    assert missing([need], machine.root, {"library": ""})
    assert not missing([need], machine.root, {"library": "/opt/stand-in/libnone.so"})


def test_key_that_must_be_set(machine: Machine) -> None:
    need = Need("config", ("directory",), "set it")
    assert missing([need], machine.root)[0].on == "directory"
    assert missing([need], machine.root, {"directory": ""})
    assert not missing([need], machine.root, {"directory": "/opt"})


def test_no_capability_where_the_kernel_does_not_tell(tmp_path: Path) -> None:
    found = missing([Need("capabilities", tuple(CAPABILITIES), "do")], tmp_path)
    assert found[0].on == ", ".join(CAPABILITIES)


def test_unreadable_directory_is_a_missing_path(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "glob", refuse)
    assert _lacks(machine, "paths", "/dev/davinci0") == "/dev/davinci0"
