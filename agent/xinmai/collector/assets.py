"""The files of the web page: ours from this package, plotly.js out of the installed `plotly`.

The HTTP server answers `GET /` with `asset("index.html")` and `GET /web/{name}` with `asset(name)`:

    path = asset(name)
    if path is None:
        raise web.HTTPNotFound
    return web.FileResponse(path, headers=headers(path))

`FileResponse` adds the entity tag and answers conditional requests; `headers` says the rest. Every
other answer of the server should carry `SECURITY_HEADERS` as well. Nothing here imports plotly,
which would cost a second and many MiB for one file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

PLOTLY: Final = "plotly.min.js"

CONTENT_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)

# Plotly writes a style sheet of its own at run time and draws its exports through data and blob
# addresses. Its WebGL traces would need 'unsafe-eval': the page uses the SVG ones.
SECURITY_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Content-Security-Policy": (
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
            "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
)


@cache
def _web_files() -> Mapping[str, Path]:
    folder = Path(__file__).with_name("web")
    return MappingProxyType(
        {path.name: path for path in sorted(folder.iterdir()) if path.suffix in CONTENT_TYPES}
    )


@cache
def _plotly_file() -> Path | None:
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "package_data" / PLOTLY
    return path if path.is_file() else None


def asset(name: str) -> Path | None:
    """The file behind `/web/<name>`, None where there is none.

    Names are looked up in a list of known files, never joined to a path: no name can leave it.
    """
    return _plotly_file() if name == PLOTLY else _web_files().get(name)


def headers(path: Path) -> Mapping[str, str]:
    """Content type, caching and security headers of a file that `asset` returned.

    The page's own files are asked for again each time (and answered with 304), so that an upgrade
    shows at once. plotly.js is large and its interface steady: a week without asking.
    """
    caching = "public, max-age=604800" if path.name == PLOTLY else "no-cache"
    return {
        "Content-Type": CONTENT_TYPES[path.suffix],
        "Cache-Control": caching,
        **SECURITY_HEADERS,
    }
