from __future__ import annotations

import os
import re
from dataclasses import fields
from pathlib import Path

import pytest

from xinmai.config import Config, load, resolve, user_dirs
from xinmai.config_keys import BY_NAME, KEYS, SECTIONS
from xinmai.config_text import reference, sample
from xinmai.errors import ConfigError

HOME = {"HOME": "/home/someone"}
ROOT = Path(__file__).parents[2]


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load_text(tmp_path: Path, text: str, **environment: str) -> Config:
    return load([write(tmp_path / "x.toml", text)], environment=HOME | environment)


def refusal(tmp_path: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text)
    assert caught.value.file == str(tmp_path / "x.toml")
    return caught.value


def test_defaults_are_those_of_the_dataclasses() -> None:
    config = load([], environment=HOME)

    for key in KEYS:
        if not key.computed:
            assert getattr(getattr(config, key.section), key.field) == key.default, key.name


def test_every_field_of_every_section_has_a_key() -> None:
    found = {
        f"{section}.{entry.name}" for section, kind in SECTIONS.items() for entry in fields(kind)
    }

    assert found - {"cadence.explicit"} == {f"{key.section}.{key.field}" for key in KEYS}


def test_every_default_is_an_allowed_value() -> None:
    for key in KEYS:
        if key.default is not None:
            assert key.type.read(key.type.plain(key.default)) == key.default, key.name


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    config = load_text(
        tmp_path,
        """
        [node]
        name = "gpu-017"
        root = "/srv/recorded"
        [cadence]
        rare = "5min"
        budget = 1
        [broker]
        url = "mqtts://broker.example:8884"
        keepalive = "1min"
        ca = "/etc/ssl/ca.pem"
        cert = ""
        [shipper]
        spool_bytes = "2GiB"
        batch_bytes = 65536
        in_flight = 16
        confirm = "puback"
        raw = ["host/*", "link/fast"]
        [collector]
        edges = ["row-1", "row-2"]
        retain_days = 0.5
        seal = "30s"
        """,
    )

    assert (config.node.name, config.node.root) == ("gpu-017", Path("/srv/recorded"))
    assert (config.cadence.rare_ns, config.cadence.budget) == (300_000_000_000, 1.0)
    assert config.broker.url == "mqtts://broker.example:8884"
    assert (config.broker.keepalive_s, config.broker.cert) == (60, None)
    assert config.broker.ca == Path("/etc/ssl/ca.pem")
    assert (config.shipper.spool_bytes, config.shipper.batch_bytes) == (2 * 2**30, 65536)
    assert (config.shipper.in_flight, config.shipper.confirm) == (16, "puback")
    assert config.shipper.raw == ("host/*", "link/fast")
    assert config.collector.edges == ("row-1", "row-2")
    assert (config.collector.retain_days, config.collector.seal_s) == (0.5, 30)


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        ("[node]\nnmae = 'x'\n", 2, "node.nmae", ["unknown key", "edge", 'did you mean "name"?']),
        ("\n[brokr]\nurl = 'x'\n", 2, "brokr", ["unknown table", 'did you mean "broker"?']),
        ("node = 3\n", 1, "node", ["write [node]"]),
        ("[node]\n\nname = 'a/b'\n", 3, "node.name", ["does not fit a topic", "allowed"]),
        ("[cadence]\nfast = 10\n", 2, "cadence.fast", ["got 10", "100ms"]),
        ("[cadence]\nfast = '1us'\n", 2, "cadence.fast", ["1us is not between 100us and 1h"]),
        ("[cadence]\nbudget = nan\n", 2, "cadence.budget", ["nan is not between"]),
        ("[cadence]\nprofile = 'loud'\n", 2, "cadence.profile", ['"default", "quiet"']),
        ("[broker]\nurl = 'http://x'\n", 2, "broker.url", ["mqtt://HOST"]),
        ("[broker]\nurl = 'mqtt://x:99999'\n", 2, "broker.url", ["allowed"]),
        ("[broker]\nca = 'ca.pem'\n", 2, "broker.ca", ["is relative"]),
        ("[broker]\nkeepalive = '5500ms'\n", 2, "broker.keepalive", ["whole number of seconds"]),
        ("[shipper]\nin_flight = true\n", 2, "shipper.in_flight", ["got true", "1 to 1000"]),
        ("[shipper]\nraw = 'host'\n", 2, "shipper.raw", ["a list"]),
        ("[shipper]\nspool_bytes = '1PB'\n", 2, "shipper.spool_bytes", ["unknown unit"]),
        ("[collector]\nlisten = '9470'\n", 2, "collector.listen", ["HOST:PORT"]),
        ("[node]\nname = 'a'\n[[node.x]]\n", 3, "node.x", ["unknown key"]),
        ("plugins = 1\n", 1, "plugins", ["write [plugins.NAME]"]),
        ("[plugins]\nhost = 1\n", 2, "plugins.host", ["write [plugins.host]"]),
        ("[plugins.Host]\n", 1, "plugins.Host", ["not a plugin's name"]),
        ("[plugins.host]\nenabled = 'no'\n", 2, "plugins.host.enabled", ["true or false"]),
        ("[plugins.host]\n'period.x' = 1\n", 2, "plugins.host.period.x", ["not a plugin's key"]),
        ("[plugins.host]\nperiod = '1s'\n", 2, "plugins.host.period", ["a table such as"]),
        (
            "[plugins.host]\nperiod = { fats = '1ms' }\n",
            2,
            "plugins.host.period.fats",
            ["fast, slow, rare", 'did you mean "fast"?'],
        ),
        ("[node]\nname = \n", 2, "", ["not TOML"]),
        ("[node]\nname = 'a'\nname = 'b'\n", 3, "", ["not TOML"]),
    ],
)
def test_wrong_files_are_refused_with_line_key_and_what_is_allowed(
    tmp_path: Path, text: str, line: int, key: str, words: list[str]
) -> None:
    error = refusal(tmp_path, text)

    assert (error.line, error.key) == (line, key)
    for word in words:
        assert word in str(error)


def test_password_in_the_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    error = refusal(tmp_path, "[broker]\nurl = 'mqtt://me:secret@host'\n")

    assert "broker.password_file" in str(error)
    assert "secret" not in str(error)


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"[node]\nname = '\xff'\n")

    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        load([path], environment=HOME)

    assert caught.value.line == 2


def test_named_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read: No such file"):
        load([tmp_path / "absent.toml"], environment=HOME)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.toml", f"a = {'[' * 5000}{']' * 5000}\n")

    assert refusal(tmp_path, path.read_text()).file


def test_every_problem_is_found_in_one_go(tmp_path: Path) -> None:
    path = write(tmp_path / "x.toml", "[node]\nedg = 'x'\nname = 7\n[cadence]\nslow = 'x'\n")

    errors = resolve([path], environment=HOME).errors

    assert [(error.line, error.key) for error in errors] == [
        (2, "node.edg"),
        (3, "node.name"),
        (5, "cadence.slow"),
    ]


def test_flag_goes_before_environment_before_file_before_default(tmp_path: Path) -> None:
    file = write(tmp_path / "x.toml", "[node]\nedge = 'file'\n[broker]\nusername = 'file'\n")
    environment = HOME | {"XINMAI_NODE_EDGE": "environment", "XINMAI_BROKER_USERNAME": "env"}

    resolution = resolve([file], environment=environment, flags={"node.edge": "flag"})

    assert resolution.config.node.edge == "flag"
    assert resolution.config.broker.username == "env"
    assert resolution.settings["node.edge"].origin == "flag"
    assert resolution.settings["broker.username"].origin == "environment XINMAI_BROKER_USERNAME"


def test_later_files_change_single_keys(tmp_path: Path) -> None:
    first = write(tmp_path / "a.toml", "[node]\nedge = 'a'\nname = 'n'\n[plugins.host]\nx = 1\n")
    second = write(tmp_path / "b.toml", "[node]\nedge = 'b'\n[plugins.host]\ny = 2\n")

    config = load([first, second], environment=HOME)

    assert (config.node.edge, config.node.name) == ("b", "n")
    assert config.plugins["host"].keys == {"x": 1, "y": 2}
    assert config.plugins["host"].source["y"] == (str(second), 4)


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("XINMAI_SHIPPER_IN_FLIGHT", "4", "shipper.in_flight", 4),
        ("XINMAI_CADENCE_BUDGET", "0.05", "cadence.budget", 0.05),
        ("XINMAI_SHIPPER_SPOOL_BYTES", "4194304", "shipper.spool_bytes", 4 * 2**20),
        ("XINMAI_COLLECTOR_EDGES", "a, b", "collector.edges", ("a", "b")),
        ("XINMAI_BROKER_CA", "", "broker.ca", None),
        ("XINMAI_CADENCE_FAST", "5Hz", "cadence.fast", 200_000_000),
    ],
)
def test_environment_sets_keys_of_every_type(
    variable: str, text: str, key: str, value: object
) -> None:
    config = load([], environment=HOME | {variable: text})

    found = getattr(getattr(config, BY_NAME[key].section), BY_NAME[key].field)
    assert found == value


def test_environment_variable_that_names_no_key_is_refused() -> None:
    with pytest.raises(ConfigError, match='did you mean "XINMAI_BROKER_URL"'):
        load([], environment=HOME | {"XINMAI_BROKER_URI": "mqtt://x"})


def test_variables_that_are_no_configuration_are_left_alone() -> None:
    environment = HOME | {"XINMAI_DEBUG": "1", "XINMAI_LOG": "DEBUG", "XINMAI_SANITIZE": "1"}

    assert load([], environment=environment) == load([], environment=HOME)


def test_environment_names_are_unique() -> None:
    assert len({key.environment for key in KEYS}) == len(KEYS)


def test_relative_path_of_a_flag_starts_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    config = load([], environment=HOME, flags={"collector.store_dir": "store"})

    assert config.collector.store_dir == tmp_path / "store"


def test_unknown_flag_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"flag: broker.ulr: .*did you mean \"broker.url\""):
        load([], environment=HOME, flags={"broker.ulr": "x"})


def test_quiet_profile_slows_fast_readings_unless_they_are_set(tmp_path: Path) -> None:
    quiet = load_text(tmp_path, "[cadence]\nprofile = 'quiet'\n").cadence
    both = load_text(tmp_path, "[cadence]\nprofile = 'quiet'\nfast = '50ms'\n").cadence

    assert (quiet.fast_ns, quiet.explicit) == (1_000_000_000, frozenset())
    assert (both.fast_ns, both.explicit) == (50_000_000, frozenset({"fast"}))


def test_plugin_table_keeps_its_keys_with_their_lines(tmp_path: Path) -> None:
    config = load_text(
        tmp_path,
        "[plugins.host]\nenabled = true\nperiod = { fast = '1ms', rare = '10min' }\n"
        "disks = ['sda']\n[plugins.link]\n",
    )

    host = config.plugins["host"]
    assert host.enabled is True
    assert host.period_ns == {"fast": 1_000_000, "rare": 600_000_000_000}
    assert host.keys == {"disks": ["sda"]}
    assert host.source["disks"] == (str(tmp_path / "x.toml"), 4)
    assert config.plugins["link"].enabled is None


def test_flags_switch_plugins() -> None:
    flags = {"plugins.host.enabled": "false", "plugins.host.period.slow": "2s"}

    host = load([], environment=HOME, flags=flags).plugins["host"]

    assert (host.enabled, host.period_ns) == (False, {"slow": 2_000_000_000})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("/opt/lib.so", "/opt/lib.so"),
        ("'quoted'", "quoted"),
        ("true", True),
        ("7", 7),
        ('["a", "b"]', ["a", "b"]),
        ("", ""),
    ],
)
def test_flags_set_keys_that_only_the_plugin_knows(text: str, value: object) -> None:
    config = load([], environment=HOME, flags={"plugins.card.library": text})

    assert config.plugins["card"].keys == {"library": value}
    assert config.plugins["card"].source["library"] == ("flag", 0)


def test_host_name_is_made_fit_for_a_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "-.gpu/17 (ä).lan")
    assert load([], environment=HOME).node.name == "gpu-17----.lan"

    monkeypatch.setattr("socket.gethostname", lambda: "...")
    assert load([], environment=HOME).node.name == "node"


def test_own_directories_without_a_system_file(tmp_path: Path) -> None:
    environment = {"HOME": "/home/x", "XDG_RUNTIME_DIR": str(tmp_path)}

    config = resolve(None, environment=environment, etc=tmp_path / "etc").config

    assert config.node.state_dir == Path("/home/x/.local/state/xinmai")
    assert config.node.run_dir == tmp_path / "xinmai"
    assert config.collector.store_dir == Path("/home/x/.local/state/xinmai/store")
    assert user_dirs(environment).state == config.node.state_dir


def test_system_directories_where_a_system_file_exists(tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    write(etc / "xinmai.toml", "[node]\nedge = 'a'\n")
    write(etc / "xinmai.d" / "20-b.toml", "[node]\nedge = 'c'\n")
    write(etc / "xinmai.d" / "10-a.toml", "[node]\nedge = 'b'\n")

    resolution = resolve(None, environment=HOME, etc=etc)

    assert [path.name for path in resolution.files] == ["xinmai.toml", "10-a.toml", "20-b.toml"]
    assert resolution.config.node.edge == "c"
    assert resolution.config.node.state_dir == Path("/var/lib/xinmai")
    assert resolution.config.node.run_dir == Path("/run/xinmai")
    assert resolution.config.collector.store_dir == Path("/var/lib/xinmai/store")


def test_state_home_is_honoured_and_a_foreign_runtime_directory_is_not() -> None:
    environment = {"HOME": "/h", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/nonexistent"}

    dirs = user_dirs(environment)

    assert (dirs.state, dirs.run) == (Path("/s/xinmai"), Path(f"/tmp/xinmai-{os.getuid()}"))


def test_store_follows_the_state_directory(tmp_path: Path) -> None:
    config = load_text(tmp_path, "[node]\nstate_dir = '/data/xinmai'\n")

    assert config.collector.store_dir == Path("/data/xinmai/store")


def test_sample_means_the_same_as_the_defaults_once_uncommented(tmp_path: Path) -> None:
    defaults = load([], environment=HOME)
    text = sample(defaults).partition("# One table per plugin")[0]

    uncommented = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)

    loaded = load_text(tmp_path, uncommented)
    assert loaded.node == defaults.node
    assert (loaded.broker, loaded.shipper) == (defaults.broker, defaults.shipper)
    assert loaded.collector == defaults.collector
    assert load_text(tmp_path, text) == defaults


def test_guide_lists_every_key_as_the_code_has_it() -> None:
    page = (ROOT / "docs/guide/configuration.md").read_text(encoding="utf-8")

    table = page.partition("held by a test -->\n\n")[2].partition("<!-- end of keys -->")[0]

    assert table == reference(), "write xinmai.config_text.reference() into the page"
