"""Arrow values as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa

_EXACT: Final = 2**53


def exact(number: int | None) -> int | str | None:
    """A number that JavaScript can hold, else its digits."""
    return str(number) if number is not None and abs(number) > _EXACT else number


def plain_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Rows of a query's result."""
    names = _distinct(batch.schema.names)
    columns = [_plain_column(column) for column in batch.columns]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _distinct(names: Sequence[str]) -> list[str]:
    """Column names made different: `a`, `a_1`."""
    seen: dict[str, int] = {}
    result: list[str] = []
    for name in names:
        n = seen.get(name, 0)
        seen[name] = n + 1
        result.append(f"{name}_{n}" if n else name)
    return result


def _plain_column(column: pa.Array) -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit != "us":
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
        kind = column.type
    if pa.types.is_timestamp(kind):
        zulu = "Z" if kind.tz else ""
        return [_iso(value, zulu) for value in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_boolean(kind):
        values: list[Any] = column.to_pylist()
        return values
    return [_plain(value, kind) for value in column.to_pylist()]


_EPOCH: Final = datetime(1970, 1, 1)


def _iso(value_us: int | None, zulu: str) -> str | None:
    if value_us is None:
        return None
    try:
        return (_EPOCH + timedelta(microseconds=value_us)).isoformat(timespec="microseconds") + zulu
    except OverflowError:
        return "infinity" if value_us > 0 else "-infinity"


def _plain(value: Any, kind: pa.DataType) -> Any:
    """A value as JSON has it: no NaN, decimals without a fraction as integers, maps as objects."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if pa.types.is_map(kind):
        return {_key(key): _plain(item, kind.item_type) for key, item in value}
    if pa.types.is_struct(kind):
        return {field.name: _plain(value[field.name], field.type) for field in kind}
    if isinstance(value, list):
        return [_plain(item, kind.value_type) for item in value]
    return _plain_scalar(value)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(_plain_scalar(key))


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, datetime):
        zulu = "Z" if value.tzinfo else ""
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + zulu
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, pa.MonthDayNano):
        return f"P{value.months}M{value.days}DT{value.nanoseconds / 1e9:g}S"
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): _plain_scalar(item) for key, item in value.items()}
    return str(value)
