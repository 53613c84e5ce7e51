"""Writes vectors/column.json (COL-14); what is committed there must stay readable for ever."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from native import traces
from xinmai_native import pack

VECTORS = Path(__file__).parent / "vectors" / "column.json"
MIN, MAX = -(2**63), 2**63 - 1


def columns() -> Iterator[tuple[str, Sequence[int]]]:
    """Columns by name, such that every codec and kind of shape occurs."""
    for name, family in traces.FAMILIES.items():
        yield name, family(Random(name), 150, 1000)
        yield f"{name}, slow and short", family(Random(name), 40, 100)
    rng = Random("vectors")
    yield "one", [7]
    yield "two ends", [MIN, MAX]
    yield "all bits", [MIN, MAX] * 20
    yield "constant at the end", [MAX] * 70
    yield "two pieces", [3] * 2049
    yield (
        "a piece of bins, one of steps",
        [
            *(int(rng.gauss(0, 9)) for _ in range(2048)),
            *range(0, 900, 3),
        ],
    )
    yield "order 2", [3 * i * i - 7 * i for i in range(80)]
    yield "order 2, noisy", [1000 * i * i + rng.randrange(-2, 3) for i in range(200)]
    yield "order 2, scaled", [(1000 * i * i + rng.randrange(2)) * 640 for i in range(90)]
    yield "order 2, scaled, zigzag", order_2_scaled(rng)
    yield "order 1, scaled, no zigzag", accumulated([640 * rng.randrange(99) for _ in range(90)])
    yield (
        "scaled, far out",
        [1000 * (rng.randrange(-3, 4) if i % 50 else rng.randrange(2**40)) for i in range(300)],
    )
    yield "far out", [rng.randrange(-3, 4) if i % 50 else rng.randrange(2**62) for i in range(300)]
    for scale in (1, 60):
        yield (
            f"order 0, far out to both sides, times {scale}",
            [
                scale
                * (10**6 + (rng.randrange(-3, 4) if i % 97 else rng.randrange(-(2**40), 2**40)))
                for i in range(300)
            ],
        )
    for bits in (1, 7, 31, 57, 63, 64):
        yield f"{bits} bits", [rng.getrandbits(bits) - 2 ** (bits - 1) for _ in range(66)]
    for count in (2, 7, 40, 64):
        levels = [rng.getrandbits(64) - 2**63 for _ in range(count)]
        yield f"{count} levels", [rng.choice(levels) for _ in range(300)]


def order_2_scaled(rng: Random) -> list[int]:
    near = [5 * rng.randrange(-2, 3) for _ in range(300)]
    far = [5 * rng.randrange(-(2**30), 2**30) for _ in range(8)]
    steps = [near[i] if i % 40 else far[i // 40] for i in range(300)]
    return accumulated(accumulated(steps))


def accumulated(steps: Sequence[int]) -> list[int]:
    total, out = 0, []
    for step in steps:
        total += step
        out.append(total)
    return out


def damaged(good: list[dict[str, object]]) -> Iterator[tuple[str, str, int]]:
    """(what is wrong, bytes, number of values)."""
    yield "codec 15", "0f0000", 1
    yield "no levels", "0e", 4
    yield "65 levels", "0e40" + "00" * 80, 4
    yield "no such level", "0e0100010203", 4
    yield "level of a varint over 64 bits", "0e0000ffffffffffffffffff0200", 4
    yield "no shape", "0200", 5
    yield "shape 85", "020055" + "00" * 80, 5
    yield "shape 255", "0200ff" + "00" * 80, 5
    yield "one value for order 1", "04000000", 1
    yield "two values for order 2", "0600000000", 2
    yield "missing bits", "020008010203", 4
    yield "filled up with ones", "02000181", 4
    yield "varint over 64 bits", "02ffffffffffffffffff0200", 3
    for entry in good:
        data = bytes.fromhex(str(entry["packed"]))
        values = entry["values"]
        assert isinstance(values, list)
        if data[0] > 1 and len(data) < 200:
            yield f"{entry['name']}, cut", data[:-1].hex(), len(values)
            yield f"{entry['name']}, a byte more", (data + b"\0").hex(), len(values)


def main() -> None:
    good: list[dict[str, object]] = []
    for name, values in columns():
        data = pack(array("q", values), array("I", [len(values)]))
        good.append({"name": name, "packed": data.hex(), "values": [str(v) for v in values]})
    bad = [{"name": name, "packed": data, "n": n} for name, data, n in damaged(good)]
    VECTORS.parent.mkdir(exist_ok=True)
    lines = [json.dumps(entry, ensure_ascii=False) for entry in good]
    bad_lines = [json.dumps(entry, ensure_ascii=False) for entry in bad]
    text = '{"columns": [\n%s\n], "damaged": [\n%s\n]}\n'
    VECTORS.write_text(text % (",\n".join(lines), ",\n".join(bad_lines)), "utf-8")


if __name__ == "__main__":
    main()
