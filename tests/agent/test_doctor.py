from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from xinmai import doctor
from xinmai.clocksync import ClockSync
from xinmai.config import BrokerConfig, Config, NodeConfig, PluginConfig, resolve
from xinmai.config_model import ShipperConfig
from xinmai.manifest import Manifest, PluginSource
from xinmai.needs import Need

DEVICE = Need("paths", ("/dev/card*",), "fit a card")
LIBRARY = Need("libraries", ("libcard.so.1",), "install the card's library")
SENSOR = Need("any_path", ("/sys/card/temp",), "newer driver", optional=True)


def source(tmp_path: Path, *needs: Need) -> PluginSource:
    found = PluginSource("card", tmp_path)
    found.__dict__["manifest"] = Manifest(
        "card", "someone", "acme", "cards of acme", "serial", False, tmp_path, tuple(needs)
    )
    return found


def config(root: Path, enabled: bool | None = None) -> Config:
    return Config(NodeConfig("n", root=root), plugins={"card": PluginConfig(enabled)})


@pytest.mark.parametrize(
    ("version", "state"), [((3, 11, 2), "pass"), ((3, 13, 0), "pass"), ((3, 10, 9), "fail")]
)
def test_python(version: tuple[int, ...], state: str) -> None:
    assert doctor.check_python(version).state == state


@pytest.mark.parametrize(
    ("release", "future_write", "state"),
    [
        ("6.1.0-18-amd64", True, "pass"),
        ("5.10.0", True, "pass"),
        ("5.4.0-150-generic", True, "warn"),
        ("6.1.0", False, "warn"),
        ("4.19.90-52.ky10", False, "warn"),
        ("4.18.0-305.el8", False, "fail"),
        ("odd", True, "fail"),
    ],
)
def test_kernel(release: str, future_write: bool, state: str) -> None:
    check = doctor.check_kernel(release, future_write)

    assert check.state == state
    assert bool(check.fix) == (state != "pass")


def test_extension_loads() -> None:
    assert doctor.check_native().state == "pass"


def test_wrong_configuration_fails_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("[node]\nnam = 1\nedg = 2\n")

    check = doctor.check_config_files(resolve([path], environment={"HOME": "/h"}))

    assert check.state == "fail"
    assert f"{path}:2" in check.message
    assert "and 1 more" in check.message


def test_directory_that_is_ours_passes(tmp_path: Path) -> None:
    assert doctor.check_directory("state_dir", tmp_path, "k").state == "pass"


def test_directory_that_can_be_made_passes(tmp_path: Path) -> None:
    check = doctor.check_directory("state_dir", tmp_path / "a" / "b", "k")

    assert (check.state, check.message) == ("pass", f"{tmp_path}/a/b will be made")


def test_directory_below_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert doctor.check_directory("state_dir", tmp_path / "file" / "x", "k").state == "fail"
    assert doctor.check_directory("state_dir", tmp_path / "file", "k").state == "fail"


def test_directory_others_can_write_warns(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert doctor.check_directory("run_dir", tmp_path, "k").state == "warn"


@pytest.mark.parametrize(
    ("free_mib", "state"), [(None, "skip"), (10, "fail"), (500, "warn"), (2000, "pass")]
)
def test_disk(free_mib: int | None, state: str) -> None:
    wanted = Config(NodeConfig("n"), shipper=ShipperConfig(spool_bytes=2**30))
    free = None if free_mib is None else free_mib * 2**20

    assert doctor.check_disk(wanted, free).state == state


@pytest.mark.parametrize(
    ("sync", "state"),
    [(None, "skip"), (ClockSync(False, 0), "warn"), (ClockSync(True, 2_000_000), "pass")],
)
def test_clock(sync: ClockSync | None, state: str) -> None:
    assert doctor.check_clock(sync).state == state


@pytest.mark.parametrize(("program", "state"), [("", "warn"), ("/usr/sbin/mosquitto", "pass")])
def test_broker_program(program: str, state: str) -> None:
    assert doctor.check_broker_program(program).state == state


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_broker_that_listens_passes(listener: socket.socket) -> None:
    broker = BrokerConfig(url=f"mqtt://127.0.0.1:{listener.getsockname()[1]}")

    assert doctor.check_broker(broker, chosen=True).state == "pass"


@pytest.mark.parametrize(("chosen", "state"), [(True, "fail"), (False, "skip")])
def test_broker_that_is_away_fails_only_where_it_was_chosen(
    listener: socket.socket, chosen: bool, state: str
) -> None:
    broker = BrokerConfig(url=f"mqtt://127.0.0.1:{listener.getsockname()[1]}")
    listener.close()

    assert doctor.check_broker(broker, chosen=chosen).state == state


def test_plugin_whose_needs_are_met_passes(tmp_path: Path) -> None:
    check = doctor.check_plugin(source(tmp_path), config(tmp_path))

    assert (check.id, check.state, check.message) == ("plugin.card", "pass", "cards of acme")


def test_absent_hardware_is_skipped_with_its_reason(tmp_path: Path) -> None:
    check = doctor.check_plugin(source(tmp_path, DEVICE, LIBRARY), config(tmp_path))

    assert check.state == "skip"
    assert "cannot find /dev/card*" in check.message
    assert check.fix == "fit a card; install the card's library"


def test_missing_library_of_a_present_device_warns(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "card0").touch()

    check = doctor.check_plugin(source(tmp_path, DEVICE, LIBRARY), config(tmp_path))

    assert (check.state, check.fix) == ("warn", "install the card's library")
    assert "libcard.so.1" in check.message


def test_enabled_plugin_whose_needs_are_missing_fails(tmp_path: Path) -> None:
    check = doctor.check_plugin(source(tmp_path, DEVICE), config(tmp_path, enabled=True))

    assert check.state == "fail"


def test_optional_need_warns(tmp_path: Path) -> None:
    check = doctor.check_plugin(source(tmp_path, SENSOR), config(tmp_path))

    assert (check.state, check.fix) == ("warn", "newer driver")


def test_plugin_that_is_off_is_skipped(tmp_path: Path) -> None:
    check = doctor.check_plugin(source(tmp_path, DEVICE), config(tmp_path, enabled=False))

    assert (check.state, check.message) == ("skip", "off by configuration")


def test_broken_plugin_fails(tmp_path: Path) -> None:
    broken = PluginSource("card", tmp_path, problem="its folder is gone")

    assert doctor.check_plugin(broken, config(tmp_path)).state == "fail"


def test_diagnosis_has_every_check_once(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    resolution = resolve([], environment=environment)

    ids = [check.id for check in doctor.diagnose(resolution, {"card": source(tmp_path)})]

    assert ids == [
        "python",
        "native",
        "kernel",
        "config",
        "state_dir",
        "run_dir",
        "disk",
        "clock",
        "broker_program",
        "broker",
        "plugin.card",
    ]
    assert list(tmp_path.iterdir()) == []  # it looks and changes nothing


def test_future_write_seal_is_asked_without_leaving_anything_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))

    assert isinstance(doctor.has_future_write_seal(), bool)

    assert len(list(Path("/proc/self/fd").iterdir())) == before
