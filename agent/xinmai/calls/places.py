"""Where a number lies in a type: paths such as `ways[*].power`, checked step by step."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches

from xinmai.calls.ctype import CType, Mistake, array

_STEP = re.compile(r"\[(?P<index>\*|\d+)\]|(?:^|\.)(?P<name>[A-Za-z_]\w*)")
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in memory.

    Args:
        shift, bits: of a bit field; bits 0 is the whole.
        elements, stride: of `[*]`: so many, so many bytes apart.
        entry: first index on the way, 0 of `[*]`, None where there is none.
    """

    type: CType
    offset: int = 0
    shift: int = 0
    bits: int = 0
    elements: int = 1
    stride: int = 0
    entry: int | None = None

    def follow(self, path: str) -> Spot:
        """The place at the end of a path from here.

        Raises:
            Mistake: naming the step that does not fit, and what is there.
        """
        spot, at = self, 0
        while at < len(path):
            step = _STEP.match(path, at)
            if step is None:
                raise Mistake(
                    f"{path!r} cannot be read from {path[at:]!r} on; write it as 'ways[2].power'"
                )
            index = step["index"]
            spot = spot._field(step["name"]) if index is None else spot._item(index)
            at = step.end()
        return spot

    def there(self) -> str:
        """What can be named from here on."""
        return _there(self.type)

    def _field(self, name: str) -> Spot:
        member = self.type.members.get(name)
        if member is None:
            raise Mistake(f"no field {name!r} in {self.type.name}; {_there(self.type, name)}")
        return replace(
            self,
            type=member.type,
            offset=self.offset + member.offset,
            shift=member.shift,
            bits=member.bits,
        )

    def _item(self, index: str) -> Spot:
        item, length = self.type.item, self.type.length
        if item is None:
            raise Mistake(f"[{index}] of {self.type.name}, which is no array; {_there(self.type)}")
        if index == "*":
            return self._sum(item, length)
        if int(index) >= length:
            raise Mistake(f"[{index}] is beyond {self.type.name}, which has {length}")
        return replace(
            self,
            type=item,
            offset=self.offset + int(index) * item.size,
            entry=int(index) if self.entry is None else self.entry,
        )

    def _sum(self, item: CType, length: int) -> Spot:
        if self.elements > 1 or self.stride:
            raise Mistake("[*] stands twice; a sum goes over one array")
        entry = 0 if self.entry is None else self.entry
        return replace(self, type=item, elements=length, stride=item.size, entry=entry)


def root(type: CType, count: int | None) -> Spot:
    """The start of a buffer of one, or of `count` of a type."""
    return Spot(type if count is None else array(type, count))


def _there(type: CType, wanted: str = "") -> str:
    """What can be named in a type, close names first."""
    if type.kind == "pointer":
        return f"{type.name} points out of the memory that the call fills"
    if type.kind == "array":
        return f"{type.name} is an array: name an entry, [0] to [{type.length - 1}], or [*]"
    if not type.members:
        return f"{type.name} has no fields"
    near = get_close_matches(wanted, type.members, 1)
    names = list(type.members)
    more = ", …" if len(names) > _SHOWN else ""
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}it has {', '.join(names[:_SHOWN])}{more}"
