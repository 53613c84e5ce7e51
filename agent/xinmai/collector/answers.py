"""What handlers of the HTTP server share: parameters, answers, and who may ask for what."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from xinmai.collector.assets import SECURITY_HEADERS, asset, headers
from xinmai.errors import Usage


class BadRequest(Exception):
    """Answered with 400 and these words."""


class Busy(Exception):
    """Answered with 503."""


class NotHere(Exception):
    """Answered with 404."""


@web.middleware
async def answers(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn the exceptions of handlers into answers with an error in words."""
    try:
        return await handler(request)
    except (BadRequest, Usage) as error:
        return _error(400, str(error))
    except NotHere as error:
        return _error(404, str(error))
    except Busy as error:
        return _error(503, str(error))
    except web.HTTPException as error:
        return _error(404 if error.status == 404 else 400, error.reason)


def _error(status: int, words: str) -> web.Response:
    return json_answer({"error": words}, status=status)


def json_answer(value: Any, status: int = 200) -> web.Response:
    """An answer of one JSON value."""
    return body_answer(dump(value), status)


def dump(value: Any) -> bytes:
    """A value as compact JSON."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def body_answer(body: bytes, status: int = 200) -> web.Response:
    """An answer of JSON that is bytes already."""
    return web.Response(
        body=body,
        status=status,
        headers={"Content-Type": "application/json", "Cache-Control": "no-store"}
        | dict(SECURITY_HEADERS),
    )


def file_answer(name: str) -> web.StreamResponse:
    """A file of the page; raises NotHere."""
    path = asset(name)
    if path is None:
        raise NotHere(f"no file {name}")
    return web.FileResponse(path, headers=headers(path))


def needed(request: web.Request, name: str) -> str:
    """A parameter; raises BadRequest where it is missing."""
    value = request.query.get(name)
    if value is None:
        raise BadRequest(f"{name} is missing")
    return value


def number(request: web.Request, name: str, default: int | None) -> int:
    """An integer parameter of 64 bits; raises BadRequest."""
    text = request.query.get(name)
    if text is None:
        if default is None:
            raise BadRequest(f"{name} is missing")
        return default
    try:
        value = int(text)
    except ValueError:
        raise BadRequest(f"{name} is an integer") from None
    if not -(2**63) <= value < 2**63:
        raise BadRequest(f"{name} is out of range")
    return value


def integers(text: str, most: int, name: str) -> list[int]:
    """Integers with commas between them, at least one; raises BadRequest."""
    try:
        values = [int(part) for part in text.split(",") if part]
    except ValueError:
        raise BadRequest(f"{name} are integers with commas between them") from None
    if not 1 <= len(values) <= most:
        raise BadRequest(f"{name}: 1 to {most} of them")
    return values


def only_local(request: web.Request) -> None:
    """Let a request pass from this machine only, and not out of another site's web page.

    Raises:
        BadRequest: it came from elsewhere.
    """
    if not is_local(request):
        raise BadRequest("this is answered on the collector's own machine only")


def is_local(request: web.Request) -> bool:
    """Whether `only_local` lets a request pass."""
    host = urlsplit(f"//{request.host}").hostname or ""
    origin = request.headers.get("Origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.host
    forwarded = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    local_host = host == "localhost" or _is_loopback(host)
    return _is_loopback(request.remote or "") and local_host and not foreign and not forwarded


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False
