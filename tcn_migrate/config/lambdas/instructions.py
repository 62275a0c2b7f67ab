"""The instructions of a code object, of any Python from 3.5 to 3.13, under CPython's names.

The numbers, the inline caches and the coding of arguments are those of `opcode.py` and `dis.rst` of each release. Only
what straight-line code and the commonest refusals need has a name here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PYTHONS: dict[str, tuple[str, ...]] = {"3.6": ("3.6", "3.5"), "3.8": ("3.6",), "3.11": ("3.11", "3.12", "3.13")}
"""Layout of a code object -> the dialects that its instructions may be in, named after their first Python."""


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        offset: of its first byte.
        name: CPython's name for it, or "opcode 200".
        argument: its number, 0 for an instruction without one.
    """

    offset: int
    name: str
    argument: int


class Undecodable(Exception):
    """The bytes are not instructions of this dialect."""


@dataclass(frozen=True)
class _Dialect:
    names: Mapping[int, str]
    caches: Mapping[str, int] = field(default_factory=dict)
    extended: int = 144


def _named(text: str) -> dict[int, str]:
    """Names by number, out of "POP_TOP 1 NOP 9"."""
    words = text.split()
    return {int(number): name for name, number in zip(words[::2], words[1::2], strict=True)}


_UP_TO_310 = _named(
    "POP_TOP 1 ROT_TWO 2 ROT_THREE 3 DUP_TOP 4 ROT_FOUR 6 NOP 9 UNARY_POSITIVE 10 UNARY_NEGATIVE 11 UNARY_NOT 12 "
    "UNARY_INVERT 15 BINARY_MATRIX_MULTIPLY 16 INPLACE_MATRIX_MULTIPLY 17 BINARY_POWER 19 BINARY_MULTIPLY 20 "
    "BINARY_MODULO 22 BINARY_ADD 23 BINARY_SUBTRACT 24 BINARY_SUBSCR 25 BINARY_FLOOR_DIVIDE 26 BINARY_TRUE_DIVIDE 27 "
    "INPLACE_FLOOR_DIVIDE 28 INPLACE_TRUE_DIVIDE 29 INPLACE_ADD 55 INPLACE_SUBTRACT 56 INPLACE_MULTIPLY 57 "
    "INPLACE_MODULO 59 STORE_SUBSCR 60 BINARY_LSHIFT 62 BINARY_RSHIFT 63 BINARY_AND 64 BINARY_XOR 65 BINARY_OR 66 "
    "INPLACE_POWER 67 GET_ITER 68 INPLACE_AND 77 INPLACE_XOR 78 INPLACE_OR 79 LIST_TO_TUPLE 82 RETURN_VALUE 83 "
    "UNPACK_SEQUENCE 92 FOR_ITER 93 STORE_GLOBAL 97 LOAD_CONST 100 BUILD_TUPLE 102 BUILD_LIST 103 BUILD_MAP 105 "
    "LOAD_ATTR 106 COMPARE_OP 107 IMPORT_NAME 108 IMPORT_FROM 109 JUMP_FORWARD 110 JUMP_IF_FALSE_OR_POP 111 "
    "JUMP_IF_TRUE_OR_POP 112 JUMP_ABSOLUTE 113 POP_JUMP_IF_FALSE 114 POP_JUMP_IF_TRUE 115 LOAD_GLOBAL 116 "
    "IS_OP 117 CONTAINS_OP 118 SETUP_LOOP 120 SETUP_EXCEPT 121 SETUP_FINALLY 122 LOAD_FAST 124 STORE_FAST 125 "
    "RAISE_VARARGS 130 CALL_FUNCTION 131 MAKE_FUNCTION 132 BUILD_SLICE 133 LOAD_CLOSURE 135 LOAD_DEREF 136 "
    "STORE_DEREF 137 CALL_FUNCTION_KW 141 CALL_FUNCTION_EX 142 SETUP_WITH 143 FORMAT_VALUE 155 BUILD_CONST_KEY_MAP "
    "156 LOAD_METHOD 160 CALL_METHOD 161 LIST_EXTEND 162"
)
_FROM_311 = _named(
    "POP_TOP 1 PUSH_NULL 2 NOP 9 UNARY_NEGATIVE 11 UNARY_NOT 12 UNARY_INVERT 15 BINARY_SUBSCR 25 BINARY_SLICE 26 "
    "STORE_SUBSCR 60 GET_ITER 68 RETURN_VALUE 83 UNPACK_SEQUENCE 92 FOR_ITER 93 STORE_GLOBAL 97 SWAP 99 LOAD_CONST 100 "
    "BUILD_TUPLE 102 BUILD_LIST 103 BUILD_MAP 105 LOAD_ATTR 106 COMPARE_OP 107 IMPORT_NAME 108 IMPORT_FROM 109 "
    "JUMP_FORWARD 110 POP_JUMP_IF_FALSE 114 POP_JUMP_IF_TRUE 115 LOAD_GLOBAL 116 IS_OP 117 CONTAINS_OP 118 COPY 120 "
    "BINARY_OP 122 LOAD_FAST 124 STORE_FAST 125 LOAD_FAST_CHECK 127 RAISE_VARARGS 130 MAKE_FUNCTION 132 "
    "BUILD_SLICE 133 MAKE_CELL 135 LOAD_CLOSURE 136 LOAD_DEREF 137 STORE_DEREF 138 CALL_FUNCTION_EX 142 "
    "COPY_FREE_VARS 149 RESUME 151 FORMAT_VALUE 155 BUILD_CONST_KEY_MAP 156 LIST_EXTEND 162 CALL 171 KW_NAMES 172"
)
_FROM_313 = _named(
    "BINARY_SLICE 4 BINARY_SUBSCR 5 FORMAT_SIMPLE 14 GET_ITER 19 MAKE_FUNCTION 26 NOP 30 POP_TOP 32 PUSH_NULL 34 "
    "RETURN_VALUE 36 STORE_SUBSCR 39 TO_BOOL 40 UNARY_INVERT 41 UNARY_NEGATIVE 42 UNARY_NOT 43 BINARY_OP 45 "
    "BUILD_CONST_KEY_MAP 46 BUILD_LIST 47 BUILD_MAP 48 BUILD_SLICE 50 BUILD_TUPLE 52 CALL 53 CALL_FUNCTION_EX 54 "
    "CALL_KW 57 COMPARE_OP 58 CONTAINS_OP 59 COPY 61 COPY_FREE_VARS 62 FOR_ITER 72 IMPORT_FROM 74 IMPORT_NAME 75 "
    "IS_OP 76 JUMP_FORWARD 79 LIST_EXTEND 81 LOAD_ATTR 82 LOAD_CONST 83 LOAD_DEREF 84 LOAD_FAST 85 LOAD_FAST_CHECK 87 "
    "LOAD_FAST_LOAD_FAST 88 LOAD_GLOBAL 91 MAKE_CELL 94 POP_JUMP_IF_FALSE 97 "
    "POP_JUMP_IF_NONE 98 POP_JUMP_IF_NOT_NONE 99 POP_JUMP_IF_TRUE 100 RAISE_VARARGS 101 "
    "RETURN_CONST 103 STORE_DEREF 109 STORE_FAST 110 STORE_FAST_LOAD_FAST 111 STORE_FAST_STORE_FAST 112 "
    "STORE_GLOBAL 113 SWAP 115 UNPACK_SEQUENCE 117 RESUME 149"
)
_ONLY_311 = _named(
    "LIST_TO_TUPLE 82 JUMP_IF_FALSE_OR_POP 111 JUMP_IF_TRUE_OR_POP 112 POP_JUMP_FORWARD_IF_NOT_NONE 128 "
    "POP_JUMP_FORWARD_IF_NONE 129 LOAD_METHOD 160 PRECALL 166"
)
_CACHES_311 = {"LOAD_GLOBAL": 5, "BINARY_OP": 1, "UNPACK_SEQUENCE": 1, "COMPARE_OP": 2, "BINARY_SUBSCR": 4}
_CACHES_311 |= {"LOAD_ATTR": 4, "LOAD_METHOD": 10, "CALL": 4, "PRECALL": 1}
_CACHES_312 = {"LOAD_GLOBAL": 4, "BINARY_OP": 1, "UNPACK_SEQUENCE": 1, "COMPARE_OP": 1, "BINARY_SUBSCR": 1}
_CACHES_312 |= {"LOAD_ATTR": 9, "CALL": 3}

_DIALECTS = {
    "3.5": _Dialect({number: name for number, name in _UP_TO_310.items() if number < 155}),
    "3.6": _Dialect(_UP_TO_310),
    "3.11": _Dialect(_FROM_311 | _ONLY_311, _CACHES_311),
    "3.12": _Dialect(
        _FROM_311 | {121: "RETURN_CONST", 128: "POP_JUMP_IF_NOT_NONE", 129: "POP_JUMP_IF_NONE"}, _CACHES_312
    ),
    "3.13": _Dialect(_FROM_313, _CACHES_312, extended=71),
}


def instructions(code: bytes, python: str) -> list[Instruction]:
    """The instructions that bytes spell in one dialect; inline caches, which a file holds as zeros, are left out.

    Args:
        code: the bytes.
        python: a dialect of `PYTHONS`.

    Raises:
        Undecodable: the last instruction is cut, or a cache holds something.
    """
    dialect = _DIALECTS[python]
    found = []
    position = argument = 0
    start: int | None = None
    while position < len(code):
        number = code[position]
        if start is None:
            start = position
        size = 2 if python != "3.5" else 3 if number >= 90 else 1
        given = code[position + 1 : position + size]
        if len(given) < size - 1:
            raise Undecodable
        position += size
        low = int.from_bytes(given, "little")
        argument = argument << (16 if python == "3.5" else 8) | low
        if number == dialect.extended:
            if argument >= 2**24:
                raise Undecodable
            continue
        name = dialect.names.get(number, f"opcode {number}")
        found.append(Instruction(start, name, argument))
        cache = 2 * dialect.caches.get(name, 0)
        if any(code[position : position + cache]) or position + cache > len(code):
            raise Undecodable
        position, argument, start = position + cache, 0, None
    if start is not None:
        raise Undecodable
    return found
