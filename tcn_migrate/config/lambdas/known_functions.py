"""The functions of Lambda layers that are known, recognised by the fields of their code objects.

Two kinds are known: keras-tcn's `channel_normalization`, and functions that do nothing but index their argument. The
bytecode of both was measured on CPython 3.6 to 3.13; only what says what is computed is compared: instructions,
constants and names, never the file's path, line numbers, the docstring or what a user called his variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.lambdas.bytecode import Function


@dataclass(frozen=True)
class Indexing:
    """`x[key]`.

    Attributes:
        key: integers, slices, None and `...`.
        from_closure: whether a number in it came out of the function's closure.
    """

    key: tuple[Any, ...]
    from_closure: bool = False


@dataclass(frozen=True)
class ChannelNormalization:
    """`x / (max(abs(x), axis, keepdims=True) + 1e-5)` of keras-tcn 2.1 to 2.3.6 (`channel_normalization`)."""

    axis: int = 2


Known = Indexing | ChannelNormalization

_CHANNEL_NORMALIZATION_CODE = frozenset(
    bytes.fromhex(code)
    for code in (
        # 3.6, K being a module that the function's own file imports (this and the next four)
        "74006a0174006a027c0083016401640264038d03640417007d017c007c011b007d027c025300",
        # 3.7 to 3.10
        "74006a017400a0027c00a1016401640264038d03640417007d017c007c011b007d027c025300",
        # 3.11
        "97007401000000000000000000006a0100000000000000007401000000000000000000006a0200000000000000007c00a6010000"
        "ab01000000000000000064016402ac03a6030000ab03000000000000000064047a0000007d017c007c017a0b00007d027c025300",
        # 3.12
        "9700740100000000000000006a02000000000000000000000000000000000000740100000000000000006a04000000000000000000"
        "0000000000000000007c00ab0100000000000064016402ac03ab0300000000000064047a0000007d017c007c017a0b00007d027c025300",
        # 3.13
        "95005b000000000000000000520200000000000000000000000000000000000022005b00000000000000000052040000000000000000"
        "00000000000000000000220055003501000000000000530153025303390353042d0000006e0158012d0b00006e0255022400",
        # 3.11, 3.12, 3.13 where K was imported elsewhere than in the function's own file, as in another notebook cell
        "9700740000000000000000000000a0010000000000000000000000000000000000000000740000000000000000000000a002000000000000"
        "00000000000000000000000000007c00a6010000ab01000000000000000064016402ac03a6030000ab03000000000000000064047a000000"
        "7d017c007c017a0b00007d027c025300",
        "9700740000000000000000006a03000000000000000000000000000000000000740000000000000000006a05000000000000000000000000"
        "0000000000007c00ab0100000000000064016402ac03ab0300000000000064047a0000007d017c007c017a0b00007d027c025300",
        "95005b00000000000000000052030000000000000000000000000000000000005b0000000000000000005205000000000000000000000000"
        "00000000000055003501000000000000530153025303390353042d0000006e0158012d0b00006e0255022400",
    )
)
_CHANNEL_NORMALIZATION_CONSTANTS = (2, True, ("keepdims",), 1e-05)
_CHANNEL_NORMALIZATION_NAMES = ("K", "max", "abs")


def recognise(function: Function, defaults: list[Any], closure: list[Any], arguments: Json) -> Known | None:
    """What a function computes, or None if it is not one of the known.

    Args:
        function: its fields, as `bytecode.read_function` gives them.
        defaults: the values of its last arguments where the call gives none.
        closure: the values of the names out of its closure, as Keras stores them.
        arguments: what the Lambda layer gives by name.
    """
    return _channel_normalization(function, defaults, closure) or _indexing(function, defaults, closure, arguments)


def _channel_normalization(function: Function, defaults: list[Any], closure: list[Any]) -> Known | None:
    """All constants and names matter: forks differ in one of them, with the same instructions."""
    _docstring, *constants = function.constants or (None,)
    code = function.code
    if code.startswith(b"\x97\x00\x09\x00"):  # 3.11, 3.12 under -OO: a NOP where the docstring was
        code = code[:2] + code[4:]
    elif code.startswith(b"\x09\x00"):  # 3.10 under -OO
        code = code[2:]
    same = (
        code in _CHANNEL_NORMALIZATION_CODE
        and repr(tuple(constants)) == repr(_CHANNEL_NORMALIZATION_CONSTANTS)
        and function.names == _CHANNEL_NORMALIZATION_NAMES
        and function.argument_count == 1
        and not (defaults or closure or function.free)
    )
    return ChannelNormalization() if same else None


@dataclass(frozen=True)
class _Dialect:
    """The instructions of one range of Pythons that a function made of indexing alone can have.

    Attributes:
        start: what the instructions begin with; a function with a closure has one more in front (3.11 and later).
        words: instruction -> what it does.
        cache: how many bytes of inline cache follow a subscript.
    """

    start: bytes
    words: Mapping[int, str]
    cache: int


_UP_TO_312 = {0x09: "nothing", 0x0B: "negative", 0x19: "subscript", 0x53: "return", 0x64: "constant", 0x66: "tuple"}
_UP_TO_312 |= {0x7C: "variable", 0x85: "slice"}
_FROM_313 = {0x1E: "nothing", 0x2A: "negative", 0x05: "subscript", 0x24: "return", 0x53: "constant", 0x34: "tuple"}
_FROM_313 |= {0x55: "variable", 0x32: "slice"}
_DIALECTS = {
    "3.6 to 3.10": _Dialect(b"", {**_UP_TO_312, 0x88: "closure"}, 0),
    "3.11": _Dialect(b"\x97\x00", {**_UP_TO_312, 0x89: "variable"}, 8),
    "3.12": _Dialect(b"\x97\x00", {**_UP_TO_312, 0x89: "variable"}, 2),
    "3.13": _Dialect(b"\x95\x00", {**_FROM_313, 0x54: "variable"}, 2),
}


def _indexing(function: Function, defaults: list[Any], closure: list[Any], arguments: Json) -> Known | None:
    """The key, if the function is nothing but `return x[key]`.

    The instructions are read like a formula in postfix notation. Whatever else occurs, the function is not known.
    """
    if function.argument_count < 1:
        return None
    variables: dict[int, Any] = {}
    own = function.variables[: function.argument_count]
    for number, name in enumerate(own[1:], start=1):
        from_the_end = number - len(own)
        if name in arguments:
            variables[number] = arguments[name]
        elif -from_the_end <= len(defaults):
            variables[number] = defaults[from_the_end]
    free = dict(enumerate(closure))
    if function.layout == "3.11":  # names out of the closure are numbered after the others
        first = len(function.variables) - len(closure)
        variables |= {first + number: value for number, value in free.items()}
    places = {"variable": variables, "closure": free, "constant": dict(enumerate(function.constants))}
    for name, dialect in _DIALECTS.items():
        if (name == "3.6 to 3.10") == (function.layout == "3.11"):
            continue
        start = dialect.start
        if function.layout == "3.11" and closure:
            copy_free_variables = 0x3E if name == "3.13" else 0x95
            start = bytes([copy_free_variables, len(closure) & 0xFF]) + start
        if function.code.startswith(start):
            key = _formula(function.code[len(start) :], dialect, places)
            if key is not None:
                return Indexing(key, bool(closure))
    return None


def _formula(code: bytes, dialect: _Dialect, places: Mapping[str, Mapping[int, Any]]) -> tuple[Any, ...] | None:
    """The key of `argument[key]` that the instructions spell, or None."""
    stack: list[Any] = []
    argument, result = object(), object()
    key: tuple[Any, ...] | None = None
    position = 0
    while position + 1 < len(code):
        word, number = dialect.words.get(code[position], ""), code[position + 1]
        position += 2
        if word == "nothing":
            continue
        if word == "variable" and number == 0 and 0 not in places["variable"]:
            stack.append(argument)
        elif word in places and number in places[word]:
            stack.append(places[word][number])
        elif word == "negative" and stack and _is_integer(stack[-1]):
            stack.append(-stack.pop())
        elif word == "slice" and number in (2, 3) and len(stack) >= number:
            parts = [stack.pop() for _ in range(number)][::-1]
            if not all(part is None or _is_integer(part) for part in parts):
                return None
            stack.append(slice(*parts))
        elif word == "tuple" and 0 < number <= len(stack):
            stack[-number:] = [tuple(stack[-number:])]
        elif (
            word == "subscript"
            and len(stack) == 2
            and stack[0] is argument
            and not any(code[position:][: dialect.cache])
        ):
            key = stack[1] if isinstance(stack[1], tuple) else (stack[1],)
            stack = [result]
            position += dialect.cache
        elif word == "return" and stack == [result] and position == len(code):
            return key if key is not None and all(_may_index(element) for element in key) else None
        else:
            return None
    return None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31


def _may_index(value: object) -> bool:
    return value is None or value is ... or isinstance(value, slice) or _is_integer(value)
