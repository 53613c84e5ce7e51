import re
import subprocess
import sys
from pathlib import Path

import pytest

from xinmai.collector import assets
from xinmai.collector.assets import asset, headers

WEB = Path(assets.__file__).with_name("web")
OURS = sorted(path for path in WEB.iterdir() if path.suffix in (".js", ".css", ".html", ".svg"))
SCRIPTS = [path for path in OURS if path.suffix == ".js"]


def test_page_and_its_files_are_found() -> None:
    page = asset("index.html")
    assert page is not None
    names = re.findall(r'(?:src|href)="/web/([^"]+)"', page.read_text("utf-8"))
    assert {"style.css", "app.js", "theme.js", "icon.svg"} <= set(names)
    assert all(asset(name) is not None for name in names)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_a_module_imports_is_served(script: Path) -> None:
    for name in re.findall(r'from "\./([^"]+)"', script.read_text("utf-8")):
        assert asset(name) is not None, name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../assets.py", "/etc/passwd", "nothing.js", "web/app.js", "app.js\0"]
)
def test_a_name_that_is_no_asset_has_no_file(name: str) -> None:
    assert asset(name) is None


def test_plotly_is_found_without_importing_it() -> None:
    program = (
        "import sys; from xinmai.collector.assets import asset; path = asset('plotly.min.js');"
        "print(path.stat().st_size > 10**6, 'plotly' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["True", "False"]


def test_plotly_that_is_not_installed_is_no_asset(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        return None

    assets._plotly_file.cache_clear()
    monkeypatch.setattr(assets, "find_spec", nothing)
    assert asset("plotly.min.js") is None
    assets._plotly_file.cache_clear()


@pytest.mark.parametrize(
    ("name", "kind", "caching"),
    [
        ("index.html", "text/html; charset=utf-8", "no-cache"),
        ("app.js", "text/javascript; charset=utf-8", "no-cache"),
        ("style.css", "text/css; charset=utf-8", "no-cache"),
        ("icon.svg", "image/svg+xml", "no-cache"),
        ("plotly.min.js", "text/javascript; charset=utf-8", "public, max-age=604800"),
    ],
)
def test_headers_say_type_caching_and_policy(name: str, kind: str, caching: str) -> None:
    path = asset(name)
    assert path is not None
    said = headers(path)
    assert (said["Content-Type"], said["Cache-Control"]) == (kind, caching)
    assert said["X-Content-Type-Options"] == "nosniff"
    policy = said["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe-eval" not in policy
    assert "script-src" not in policy


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_file_names_another_host_or_runs_text(path: Path) -> None:
    text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|@import|url\(", text)
    assert not re.search(r"\beval\(|new Function|document\.write|insertAdjacentHTML", text)
    assert not re.search(r"\son[a-z]+=[\"'$]", text), "handlers are listeners, not attributes"


def test_every_word_of_the_catalogue_is_used() -> None:
    keys = set(re.findall(r'^  "([\w.]+)":', (WEB / "en.js").read_text("utf-8"), re.MULTILINE))
    languages = ("en.js", "zh.js")
    code = "".join(path.read_text("utf-8") for path in SCRIPTS if path.name not in languages)
    families = set(re.findall(r"`([\w.]+\.)\$\{", code))
    assert families
    unused = {key for key in keys if f'"{key}"' not in code}
    assert not {key for key in unused if not key.startswith(tuple(families))}
    used = set(re.findall(r'\bt\("([\w.]+)"', code))
    assert used <= keys


def test_markup_enters_the_document_in_one_place() -> None:
    users = [path.name for path in SCRIPTS if "innerHTML" in path.read_text("utf-8")]
    assert users == ["html.js"]


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 450
