"""A function of a vendor's library that a lane can call; what it cannot call is refused here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xinmai.calls.cffi_types import CffiBinding, cffi_type
from xinmai.calls.ctype import CType, Mistake
from xinmai.errors import PluginError, Unavailable

if TYPE_CHECKING:
    from xinmai.api import Reason
    from xinmai.calls.ctypes_types import CtypesBinding

MAX_ARGUMENTS = 6
_INSTEAD = "read it in a Poll instead"


@dataclass(frozen=True, slots=True)
class Returns:
    """What a status means: one table per library.

    Codes may be written with or without a sign: -1 and 0xFFFFFFFF are one code of 32 bits.

    Args:
        success: codes of success. Empty: the return value is no status, every call succeeds.
        reasons: why there is no value; any other code reads as vendor_error with the code.
    """

    success: Sequence[int] = (0,)
    reasons: Mapping[int, Reason] = field(default_factory=dict)


NO_STATUS = Returns(success=())


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function by its address and signature. Made by `from_cffi` and `from_ctypes`.

    It keeps its library open as long as it lives.
    """

    name: str
    address: int
    result: CType
    parameters: Sequence[CType]
    returns: Returns
    binding: CffiBinding | CtypesBinding

    @classmethod
    def from_cffi(cls, ffi: Any, lib: Any, *names: str, returns: Returns = Returns()) -> Function:
        """The first of these functions that the library has, newest first.

        Args:
            ffi, lib: as `ffi.dlopen` made them, in-line or out-of-line ABI mode.
            returns: what its status means, unless a probe says otherwise.

        Raises:
            Unavailable: the library has none of them.
            PluginError: it is not declared, or a lane cannot call it.
        """
        found = cls.find(ffi, lib, *names, returns=returns)
        if found is None:
            raise Unavailable(
                "find a function in the library",
                " or ".join(names),
                "install a version of the vendor's library that has it",
            )
        return found

    @classmethod
    def find(cls, ffi: Any, lib: Any, *names: str, returns: Returns = Returns()) -> Function | None:
        """As `from_cffi`, and None where the library has none of them."""
        binding = CffiBinding(ffi, lib)
        for name in names:
            symbol = binding.symbol(name)
            if symbol is not None:
                kind = ffi.typeof(symbol)
                result = cffi_type(ffi, kind.result)
                parameters = [cffi_type(ffi, one) for one in kind.args]
                _refuse(name, result, parameters, more=kind.ellipsis)
                return cls(name, binding.address(symbol), result, parameters, returns, binding)
        return None

    @classmethod
    def from_ctypes(
        cls,
        function: Any,
        restype: Any,
        argtypes: Sequence[Any],
        *,
        name: str = "",
        returns: Returns = Returns(),
    ) -> Function:
        """A function that ctypes has loaded.

        Args:
            function: as an attribute of a `CDLL`; its own `restype` and `argtypes` are not read.
            restype, argtypes: ctypes classes, None for void.

        Raises:
            PluginError: a lane cannot call it.
        """
        from xinmai.calls.ctypes_types import CtypesBinding, ctypes_type

        name = name or str(getattr(function, "__name__", "a function without a name"))
        binding = CtypesBinding(function)
        try:
            result, parameters = ctypes_type(restype), [ctypes_type(one) for one in argtypes]
        except Mistake as mistake:
            raise PluginError(f"{name}: {mistake}") from mistake
        _refuse(name, result, parameters)
        return cls(name, binding.address(), result, parameters, returns, binding)

    @property
    def signature(self) -> str:
        """As C declares it."""
        return _signature(self.name, self.result, self.parameters)


def _signature(name: str, result: CType, parameters: Sequence[CType], more: str = "") -> str:
    space = "" if result.name.endswith("*") else " "
    inside = ", ".join(parameter.name for parameter in parameters) or "void"
    return f"{result.name}{space}{name}({inside}{more})"


def _refuse(name: str, result: CType, parameters: Sequence[CType], *, more: bool = False) -> None:
    why = [*_why_not(result, "returns"), *_each_why_not(parameters)]
    if len(parameters) > MAX_ARGUMENTS:
        why.append(f"has {len(parameters)} arguments, a lane passes {MAX_ARGUMENTS} at most")
    # cffi says so of what takes a union by value as well, which is then the better reason.
    is_variadic = more and not why
    if is_variadic:
        why.append("has a variable number of arguments")
    if why:
        signature = _signature(name, result, parameters, ", ..." if is_variadic else "")
        raise PluginError(f"{signature} {why[0]}, which no lane can call; {_INSTEAD}")


def _each_why_not(parameters: Sequence[CType]) -> list[str]:
    return [
        why
        for number, parameter in enumerate(parameters, 1)
        for why in _why_not(parameter, f"has as argument {number}")
    ]


_REFUSED: Mapping[str, Callable[[CType], str]] = {
    "struct": lambda kind: f"{kind.name} by value",
    "union": lambda kind: f"{kind.name} by value",
    "opaque": lambda kind: f"{kind.name} by value",
    "float": lambda kind: f"{kind.name} in a register",
    "function": lambda kind: f"a callback ({kind.name})",
    "array": lambda kind: f"the array {kind.name} by value",
    "other": lambda kind: f"{kind.name}, a type beyond 64 bits or without a fixed meaning",
}


def _why_not(kind: CType, verb: str) -> list[str]:
    refused = _REFUSED.get(kind.kind)
    return [f"{verb} {refused(kind)}"] if refused else []
