"""From the instructions of a Lambda's function to the formula that they spell.

The instructions are followed on a stack of formulas, as CPython's evaluation loop follows them on a stack of values.
Nothing is called: a call becomes a part of the formula if its function has a row in the tables, and is refused if not.
Branches, loops and inner functions are refused.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.lambdas import names
from tcn_migrate.config.lambdas.bytecode import Function, InnerFunction
from tcn_migrate.config.lambdas.expressions import (
    Apply,
    Argument,
    Attribute,
    Constant,
    Expression,
    Index,
    Items,
    Name,
    Slice,
    plain_name,
    spelt,
)
from tcn_migrate.config.lambdas.instructions import PYTHONS, Instruction, Undecodable, instructions
from tcn_migrate.config.operators.functions import FUNCTIONS
from tcn_migrate.errors import quoted

_MOST_INSTRUCTIONS = 2000
_MOST_ITEMS = 64
_MOST_VALUES = 4096
_NOISE = ("normal", "random_normal")


@dataclass(frozen=True)
class Formula:
    """What a function computes.

    Attributes:
        value: the formula.
        aliases: global names that it relies on, with what they are taken for: ("K", "keras.backend").
        from_closure: whether something in it came out of the function's closure.
        draws_noise: whether it draws random numbers.
    """

    value: Expression
    aliases: tuple[tuple[str, str], ...] = ()
    from_closure: bool = False
    draws_noise: bool = False

    @property
    def text(self) -> str:
        return spelt(self.value)


class Unreadable(Exception):
    """Why a function has no formula, in words that follow "its code"."""

    def __init__(self, reason: str, progress: int = 0) -> None:
        super().__init__(reason)
        self.progress = progress


@dataclass
class _Frame:
    """A function under way.

    Attributes:
        variables: by number; what a name out of the closure stands for is among them from 3.11 on.
        free: names out of the closure up to 3.10, by number.
    """

    function: Function
    python: str
    variables: dict[int, Expression]
    free: dict[int, Expression]
    unknown: Mapping[int, str]
    keras_1_equality: bool
    stack: list[Any] = field(default_factory=list)
    keyword_names: tuple[str, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict)
    from_closure: bool = False
    read: list[Expression] = field(default_factory=list)
    place: str = ""


class _Null:
    """CPython's NULL beside a callable on the stack."""


_NULL = _Null()


def formula_of(
    function: Function, defaults: list[Any], closure: list[Any], arguments: Json, *, tensors_equal: bool = True
) -> Formula:
    """What a function computes of its first argument.

    Args:
        function: its fields, as `bytecode.read_function` gives them.
        defaults: the values of its last arguments where the call gives none.
        closure: the values of the names out of its closure, as Keras stores them.
        arguments: what the Lambda layer gives by name.
        tensors_equal: whether `==` compares values; TensorFlow 1 compared objects.

    Raises:
        Unreadable: names the instruction, and what was read so far.
    """
    if function.argument_count < 1:
        raise Unreadable("takes no argument by position")
    results: list[Formula] = []
    failures: list[Unreadable] = []
    for python in PYTHONS[function.layout]:
        try:
            spelled = instructions(function.code, python)
        except Undecodable:
            continue
        if function.layout == "3.11" and not _resumes(spelled):
            continue
        try:
            frame = _frame(function, python, defaults, closure, arguments, tensors_equal)
            results.append(_run(frame, spelled))
        except Unreadable as failure:
            failures.append(failure)
    if results:
        if len({result.text for result in results}) > 1:
            raise Unreadable("means one thing in one Python and another in another")
        return results[0]
    raise max(
        failures, key=lambda failure: failure.progress, default=Unreadable("is that of no Python from 3.5 to 3.13")
    )


def _resumes(spelled: Sequence[Instruction]) -> bool:
    """Whether it begins with RESUME, which is another number from 3.13 on; only cells and free variables come first."""
    for instruction in spelled:
        if instruction.name == "RESUME":
            return True
        if instruction.name not in ("COPY_FREE_VARS", "MAKE_CELL"):
            return False
    return False


def _frame(
    function: Function, python: str, defaults: list[Any], closure: list[Any], arguments: Json, tensors_equal: bool
) -> _Frame:
    own = function.variables[: function.argument_count]
    variables: dict[int, Expression] = {0: Argument("x")}
    unknown: dict[int, str] = {}
    for number, name in enumerate(own[1:], start=1):
        from_the_end = number - len(own)
        if name in ("mask", "training"):
            unknown[number] = f"uses its argument {quoted(name)}, which only a run of the model gives"
        elif name in arguments:
            variables[number] = _given(arguments[name])
        elif -from_the_end <= len(defaults):
            variables[number] = _given(defaults[from_the_end])
        else:
            unknown[number] = f"uses its argument {quoted(name)}, which the file gives no value"
    free = {len(function.cells) + number: _given(value) for number, value in enumerate(closure)}
    if function.layout == "3.11":  # names out of the closure are numbered after the others
        first = len(function.variables) - len(closure)
        variables |= {first + number: value for number, value in free.items()}
    return _Frame(function, python, variables, free, unknown, not tensors_equal)


def _given(value: Any) -> Expression:
    """A value that the file holds beside the code: a number, a string, or a list of them."""
    if isinstance(value, dict) and value.get("class_name") == "__tuple__":
        value = value.get("items")
    if isinstance(value, dict) and set(value) == {"type", "value"}:  # Keras 2's form of an array
        value = value["value"]
    if isinstance(value, list) and len(value) <= _MOST_VALUES:
        return _items(tuple(_given(one) for one in value), literal=False)
    if value is None or isinstance(value, bool | int | float | str):
        return Constant(value)
    return Attribute(Constant(None), "a value that is neither number nor text")


def _run(frame: _Frame, spelled: Sequence[Instruction]) -> Formula:
    if len(spelled) > _MOST_INSTRUCTIONS:
        raise Unreadable(f"has more than {_MOST_INSTRUCTIONS} instructions")
    for number, instruction in enumerate(spelled):
        frame.place = f"instruction {instruction.name} at byte {instruction.offset}"
        try:
            if instruction.name in ("RETURN_VALUE", "RETURN_CONST"):
                if instruction.name == "RETURN_CONST":
                    _load_const(frame, instruction.argument)
                result = _pop(frame)
                if frame.stack or number + 1 < len(spelled):
                    raise Unreadable("returns in more than one place")
                draws_noise = any(isinstance(one, Apply) and one.name in _NOISE for one in frame.read)
                return Formula(result, tuple(sorted(frame.aliases.items())), frame.from_closure, draws_noise)
            step = _STEPS.get(instruction.name)
            if step is None:
                raise Unreadable(_why_not(instruction.name))
            step(frame, instruction.argument)
        except (IndexError, Unreadable) as reason:
            why = "takes more from the stack than there is" if isinstance(reason, IndexError) else str(reason)
            read = f"; read so far: {spelt(frame.read[-1])}" if frame.read else ""
            raise Unreadable(f"{why} ({frame.place}{read})", number) from None
    raise Unreadable("returns nothing", len(spelled))


def _why_not(name: str) -> str:
    if "JUMP" in name or name in ("TO_BOOL", "SETUP_LOOP", "FOR_ITER", "GET_ITER"):
        return "has a branch or a loop"
    if name in ("MAKE_FUNCTION", "LOAD_CLOSURE", "MAKE_CELL", "STORE_DEREF"):
        return "has an inner function: a comprehension, a lambda or a def"
    if name in ("IS_OP", "CONTAINS_OP"):
        return "compares by `in` or `is`"
    return "does something that is not translated"


# ---- the stack


def _pop(frame: _Frame) -> Expression:
    value = frame.stack.pop()
    if isinstance(value, _Null):
        raise Unreadable("uses a value where there is none")
    return value  # type: ignore[no-any-return]


def _popped(frame: _Frame, count: int) -> list[Expression]:
    if count > len(frame.stack):
        raise IndexError
    values = [_pop(frame) for _ in range(count)]
    return values[::-1]


def _push(frame: _Frame, value: Expression) -> None:
    frame.stack.append(value)
    if isinstance(value, Apply | Index):
        frame.read.append(value)


def _nothing(frame: _Frame, argument: int) -> None:
    pass


def _pop_top(frame: _Frame, argument: int) -> None:
    frame.stack.pop()


def _push_null(frame: _Frame, argument: int) -> None:
    frame.stack.append(_NULL)


def _rotate(count: int) -> Callable[[_Frame, int], None]:
    def step(frame: _Frame, argument: int) -> None:
        if len(frame.stack) < count:
            raise IndexError
        frame.stack.insert(len(frame.stack) - count, frame.stack.pop())

    return step


def _swap(frame: _Frame, argument: int) -> None:
    stack = frame.stack
    if not 1 <= argument <= len(stack):
        raise IndexError
    stack[-1], stack[-argument] = stack[-argument], stack[-1]


def _copy(frame: _Frame, argument: int) -> None:
    if not 1 <= argument <= len(frame.stack):
        raise IndexError
    frame.stack.append(frame.stack[-argument])


def _dup_top(frame: _Frame, argument: int) -> None:
    _copy(frame, 1)


# ---- constants, names, variables


def _items(values: tuple[Expression, ...], brackets: str = "()", literal: bool = True) -> Items:
    """A tuple or list; one may hold another many times over, so all that is in it is counted."""
    size = 1 + sum(one.size if isinstance(one, Items) else 1 for one in values)
    if size > _MOST_VALUES:
        raise Unreadable("makes a very long list")
    return Items(values, brackets, literal, size)


def _constant(value: Any) -> Expression:
    if isinstance(value, tuple):
        found: list[Expression] = []
        for one in value:
            found.append(_constant(one))
            if isinstance(found[-1], Items):
                _items(tuple(found))  # counted as it grows
        return _items(tuple(found))
    if isinstance(value, InnerFunction):
        raise Unreadable("has an inner function: a comprehension, a lambda or a def")
    if isinstance(value, bytes):
        raise Unreadable("holds bytes")
    return Constant(value)


def _load_const(frame: _Frame, argument: int) -> None:
    if argument >= len(frame.function.constants):
        raise IndexError
    frame.stack.append(_constant(frame.function.constants[argument]))


def _name(frame: _Frame, number: int) -> str:
    if number >= len(frame.function.names):
        raise IndexError
    return frame.function.names[number]


def _load_global(frame: _Frame, argument: int) -> None:
    with_null = frame.function.layout == "3.11" and argument & 1
    name = _name(frame, argument >> 1 if frame.function.layout == "3.11" else argument)
    if name in names.MODULES:
        module = names.MODULES[name]
        if name != module:
            frame.aliases[name] = module
        value: Expression = Name(module, name)
    elif name in names.BUILTINS:
        value = Name(name, name)
    else:
        raise Unreadable(f"uses the global name {quoted(name)}, whose value is not in the file")
    _with_null(frame, value, bool(with_null))


def _with_null(frame: _Frame, value: Expression, with_null: bool) -> None:
    """3.13 keeps the NULL above the callable, 3.11 and 3.12 below."""
    if with_null and frame.python != "3.13":
        frame.stack.append(_NULL)
    frame.stack.append(value)
    if with_null and frame.python == "3.13":
        frame.stack.append(_NULL)


def _attribute(frame: _Frame, of: Expression, name: str) -> Expression:
    if isinstance(of, Name):
        path = names.canonical(f"{of.path}.{name}")
        known, value = names.constant_named(path)
        return Constant(value) if known else Name(path, f"{of.text}.{plain_name(name)}")
    if name == "shape":
        return _applied(frame, "shape", ".shape", (of,))
    if name in ("get_shape", "as_list"):
        return Attribute(of, name)
    raise Unreadable(f"uses the attribute {quoted(name)} of what it computes")


def _load_attr(frame: _Frame, argument: int) -> None:
    with_null = frame.python in ("3.12", "3.13") and argument & 1
    name = _name(frame, argument >> 1 if frame.python in ("3.12", "3.13") else argument)
    _with_null(frame, _attribute(frame, _pop(frame), name), bool(with_null))


def _load_method(frame: _Frame, argument: int) -> None:
    """A bound method is one callable here, with a NULL below it."""
    value = _attribute(frame, _pop(frame), _name(frame, argument))
    frame.stack += [_NULL, value]


def _import_name(frame: _Frame, argument: int) -> None:
    level, wanted = _popped(frame, 2)
    name = _name(frame, argument)
    root = name.partition(".")[0]
    if not (isinstance(level, Constant) and level.value == 0) or root not in ("keras", "math", "numpy", "tensorflow"):
        raise Unreadable(f"imports {quoted(name)}")
    whole = name if isinstance(wanted, Items) else root
    frame.stack.append(Name(names.canonical(whole), whole))


def _import_from(frame: _Frame, argument: int) -> None:
    module = _pop(frame)
    frame.stack.append(module)
    if not isinstance(module, Name):
        raise Unreadable("imports from something else than a module")
    frame.stack.append(_attribute(frame, module, _name(frame, argument)))


def _load_fast(frame: _Frame, argument: int) -> None:
    if argument in frame.variables:
        if frame.function.layout == "3.11" and argument >= len(frame.function.variables) - len(frame.free):
            frame.from_closure = True
        _push_given(frame, frame.variables[argument])
    else:
        raise Unreadable(frame.unknown.get(argument, "uses a variable that has no value"))


def _push_given(frame: _Frame, value: Expression) -> None:
    if isinstance(value, Attribute) and isinstance(value.of, Constant):
        raise Unreadable(f"uses {value.name}")
    frame.stack.append(value)


def _store_fast(frame: _Frame, argument: int) -> None:
    frame.variables[argument] = _pop(frame)


def _delete_fast(frame: _Frame, argument: int) -> None:
    frame.variables.pop(argument, None)


def _load_deref(frame: _Frame, argument: int) -> None:
    if frame.function.layout == "3.11":
        _load_fast(frame, argument)
    elif argument in frame.free:
        frame.from_closure = True
        _push_given(frame, frame.free[argument])
    else:
        raise Unreadable("uses a name of its closure that has no value in the file")


def _two_variables(first: Callable[[_Frame, int], None], second: Callable[[_Frame, int], None]) -> Any:
    def step(frame: _Frame, argument: int) -> None:
        first(frame, argument >> 4)
        second(frame, argument & 15)

    return step


# ---- tuples, lists, indices


def _build(brackets: str) -> Callable[[_Frame, int], None]:
    def step(frame: _Frame, argument: int) -> None:
        if argument > _MOST_ITEMS:
            raise Unreadable("makes a long list")
        frame.stack.append(_items(tuple(_popped(frame, argument)), brackets))

    return step


def _list_extend(frame: _Frame, argument: int) -> None:
    more = _pop(frame)
    whole = _pop(frame)
    if argument != 1 or not isinstance(more, Items) or not isinstance(whole, Items):
        raise Unreadable("extends a list by something that is not in the code")
    frame.stack.append(_items((*whole.values, *more.values), whole.brackets))


def _list_to_tuple(frame: _Frame, argument: int) -> None:
    whole = _pop(frame)
    if not isinstance(whole, Items):
        raise Unreadable("makes a tuple of something that is no list")
    frame.stack.append(_items(whole.values))


def _build_slice(frame: _Frame, argument: int) -> None:
    if argument not in (2, 3):
        raise Unreadable("makes a slice of neither two nor three parts")
    frame.stack.append(Slice(tuple(_popped(frame, argument))))


def _subscript(frame: _Frame, argument: int) -> None:
    of, key = _popped(frame, 2)
    _index(frame, of, key)


def _binary_slice(frame: _Frame, argument: int) -> None:
    of, start, stop = _popped(frame, 3)
    _index(frame, of, Slice((start, stop)))


def _index(frame: _Frame, of: Expression, key: Expression) -> None:
    if isinstance(of, Items) and isinstance(key, Constant) and _is_whole(key.value):
        number = int(key.value)  # type: ignore[arg-type]
        if not -len(of.values) <= number < len(of.values):
            raise Unreadable("indexes a tuple outside of it")
        frame.stack.append(of.values[number])
        return
    if isinstance(of, Name | Constant | Items | Slice):
        raise Unreadable("indexes something that is no tensor")
    _push(frame, Index(of, key, frame.place))


def _unpack_sequence(frame: _Frame, argument: int) -> None:
    of = _pop(frame)
    if isinstance(of, Items):
        if len(of.values) != argument:
            raise Unreadable("unpacks a tuple of another length")
        frame.stack += of.values[::-1]
        return
    if not isinstance(of, Argument | Apply | Index) or argument > _MOST_ITEMS:
        raise Unreadable("unpacks something that is no list of tensors")
    for number in reversed(range(argument)):
        _push(frame, Index(of, Constant(number), frame.place, count=argument))


# ---- operators


_OPERATORS: dict[str, tuple[str, Callable[[Any, Any], Any] | None]] = {
    "+": ("add", operator.add),
    "-": ("subtract", operator.sub),
    "*": ("multiply", operator.mul),
    "/": ("truediv", operator.truediv),
    "//": ("floordiv", operator.floordiv),
    "%": ("floormod", operator.mod),
    "**": ("pow", operator.pow),
    "@": ("matmul", None),
    "&": ("logical_and", None),
    "|": ("logical_or", None),
    "^": ("logical_xor", None),
    "<": ("less", operator.lt),
    "<=": ("less_equal", operator.le),
    "==": ("equal", operator.eq),
    "!=": ("not_equal", operator.ne),
    ">": ("greater", operator.gt),
    ">=": ("greater_equal", operator.ge),
}
_COMPARISONS = ("<", "<=", "==", "!=", ">", ">=")
_BINARY_OP = ("+", "&", "//", "<<", "@", "*", "%", "|", "**", ">>", "-", "/", "^")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _applied(
    frame: _Frame,
    name: str,
    text: str,
    arguments: tuple[Expression, ...],
    keywords: tuple[tuple[str, Expression], ...] = (),
) -> Apply:
    return Apply(name, text, FUNCTIONS[name], arguments, keywords, frame.place)


def _binary(sign: str) -> Callable[[_Frame, int], None]:
    def step(frame: _Frame, argument: int) -> None:
        if sign not in _OPERATORS:
            raise Unreadable(f"uses the operator {sign}")
        name, of_numbers = _OPERATORS[sign]
        left, right = _popped(frame, 2)
        if isinstance(left, Items) or isinstance(right, Items):
            if not (isinstance(left, Items) and isinstance(right, Items | Constant)):
                return _push(frame, _applied(frame, name, sign, (left, right)))
            frame.stack.append(_of_items(sign, left, right))
            return None
        if isinstance(left, Constant) and isinstance(right, Constant):
            frame.stack.append(_of_constants(of_numbers, left.value, right.value))
            return None
        if any(isinstance(one, Name | Slice | Attribute) for one in (left, right)):
            raise Unreadable(f"applies {sign} to something that is neither tensor nor number")
        if sign in ("==", "!=") and frame.keras_1_equality:
            raise Unreadable(f"compares by {sign}, which TensorFlow 1 did not do by value")
        return _push(frame, _applied(frame, name, sign, (left, right)))

    return step


def _of_items(sign: str, left: Items, right: Items | Constant) -> Expression:
    """Python's own `+` and `*` of lists and tuples that stand in the code."""
    if sign == "+" and isinstance(right, Items) and left.literal and right.literal and left.brackets == right.brackets:
        return _items((*left.values, *right.values), left.brackets)
    if sign == "*" and isinstance(right, Constant) and _is_whole(right.value) and left.literal:
        times = int(right.value)  # type: ignore[arg-type]
        if 0 <= times * len(left.values) <= _MOST_ITEMS:
            return _items(left.values * times, left.brackets)
    raise Unreadable(f"applies {sign} to a list")


def _of_constants(of_numbers: Callable[[Any, Any], Any] | None, left: Any, right: Any) -> Constant:
    if of_numbers is None or not (_is_number(left) and _is_number(right)):
        raise Unreadable("applies an operator to constants that are no numbers")
    if of_numbers is operator.pow and (abs(left) > 2**31 or abs(right) > 64):
        raise Unreadable("makes a very large number")
    try:
        value = of_numbers(left, right)
    except (ArithmeticError, ValueError):
        raise Unreadable("divides by zero, or makes a very large number") from None
    return _number(value)


def _number(value: Any) -> Constant:
    if not isinstance(value, bool | int | float) or not abs(value) < 2**62:
        raise Unreadable("makes a very large number")
    return Constant(value)


def _unary(sign: str, name: str) -> Callable[[_Frame, int], None]:
    def step(frame: _Frame, argument: int) -> None:
        value = _pop(frame)
        if isinstance(value, Constant):
            if sign != "-x" or not _is_number(value.value):
                raise Unreadable(f"applies {sign[0]} to a constant")
            frame.stack.append(Constant(-value.value))  # type: ignore[operator]
        elif isinstance(value, Argument | Apply | Index):
            _push(frame, _applied(frame, name, sign, (value,)))
        else:
            raise Unreadable(f"applies {sign[0]} to something that is neither tensor nor number")

    return step


def _binary_op(frame: _Frame, argument: int) -> None:
    if argument >= 2 * len(_BINARY_OP):
        raise Unreadable("does something that is not translated")
    _binary(_BINARY_OP[argument % len(_BINARY_OP)])(frame, argument)


def _compare(frame: _Frame, argument: int) -> None:
    number = argument >> {"3.12": 4, "3.13": 5}.get(frame.python, 0)
    if number >= len(_COMPARISONS):
        raise Unreadable("compares by `in` or `is`")
    _binary(_COMPARISONS[number])(frame, argument)


# ---- calls


def _call_function_35(frame: _Frame, argument: int) -> None:
    pairs = _popped(frame, 2 * (argument >> 8))
    keywords = [(_text(key), value) for key, value in zip(pairs[::2], pairs[1::2], strict=True)]
    arguments = _popped(frame, argument & 0xFF)
    _call(frame, _pop(frame), arguments, keywords)


def _call_function(frame: _Frame, argument: int) -> None:
    if frame.python == "3.5":
        return _call_function_35(frame, argument)
    arguments = _popped(frame, argument)
    return _call(frame, _pop(frame), arguments, [])


def _call_function_kw(frame: _Frame, argument: int) -> None:
    if frame.python == "3.5":
        raise Unreadable("calls with arguments that are not in the code")
    own = _names_in(_pop(frame))
    arguments = _popped(frame, argument)
    _call(frame, _pop(frame), *_split(arguments, own))


def _call_method(frame: _Frame, argument: int) -> None:
    arguments = _popped(frame, argument)
    called = _pop(frame)
    _expect_null(frame)
    _call(frame, called, arguments, [])


def _kw_names(frame: _Frame, argument: int) -> None:
    if argument >= len(frame.function.constants):
        raise IndexError
    frame.keyword_names = _names_in(_constant(frame.function.constants[argument]))


def _call_311(frame: _Frame, argument: int) -> None:
    own, frame.keyword_names = frame.keyword_names, ()
    _called(frame, argument, own)


def _call_kw(frame: _Frame, argument: int) -> None:
    _called(frame, argument, _names_in(_pop(frame)))


def _called(frame: _Frame, argument: int, own: tuple[str, ...]) -> None:
    arguments = _popped(frame, argument)
    if frame.python == "3.13":
        _expect_null(frame)
        called = _pop(frame)
    else:
        called = _pop(frame)
        _expect_null(frame)
    _call(frame, called, *_split(arguments, own))


def _expect_null(frame: _Frame) -> None:
    if not isinstance(frame.stack.pop(), _Null):
        raise Unreadable("calls in a way that is not translated")


def _split(arguments: list[Expression], own: tuple[str, ...]) -> tuple[list[Expression], list[tuple[str, Expression]]]:
    if len(own) > len(arguments):
        raise IndexError
    first = len(arguments) - len(own)
    return arguments[:first], list(zip(own, arguments[first:], strict=True))


def _text(value: Expression) -> str:
    if not isinstance(value, Constant) or not isinstance(value.value, str):
        raise Unreadable("calls with arguments that have no name")
    return value.value


def _names_in(value: Expression) -> tuple[str, ...]:
    if not isinstance(value, Items):
        raise Unreadable("calls with arguments that have no name")
    return tuple(_text(one) for one in value.values)


def _call(
    frame: _Frame, called: Expression, arguments: list[Expression], keywords: list[tuple[str, Expression]]
) -> None:
    if isinstance(called, Attribute):
        if arguments or keywords:
            raise Unreadable(f"calls {quoted(called.name)} with arguments")
        of = called.of
        frame.stack.append(_applied(frame, "shape", ".shape", (of,)) if called.name == "get_shape" else of)
        return
    if not isinstance(called, Name):
        raise Unreadable("calls something that it computed, or that came with the file")
    value = _of_known_values(called, arguments, keywords)
    if value is not None:
        frame.stack.append(value)
        return
    if called.path == "sum" and len(arguments) == 1 and not keywords:
        _sum(frame, arguments[0])
        return
    if called.path == "pow" and len(arguments) == 2 and not keywords:
        frame.stack += arguments
        _binary("**")(frame, 0)
        return
    found = names.function_named(called.path)
    if found is None:
        raise Unreadable(f"calls {called.text}, which has no counterpart that is known")
    name, row, several = found
    if name == "einsum" and len(arguments) > 1:  # its tensors are a list in the table
        arguments = [arguments[0], _items(tuple(arguments[1:]), "[]")]
    if len(arguments) > len(row.parameters):
        raise Unreadable(f"calls {called.text} with more arguments than it has")
    made = Apply(name, called.text, row, tuple(arguments), tuple(keywords), frame.place, several)
    _push(frame, made)


def _of_known_values(
    called: Name, arguments: list[Expression], keywords: list[tuple[str, Expression]]
) -> Expression | None:
    """What a call gives that needs no tensor."""
    if not arguments and not keywords:
        known, value = names.called_with_nothing(called.path)
        return Constant(value) if known else None
    first = arguments[0] if arguments else None
    if len(arguments) == 1 and not keywords:
        of_number = names.number_function(called.path)
        if of_number is not None and isinstance(first, Constant) and _is_number(first.value):
            try:
                return _number(of_number(first.value))  # type: ignore[arg-type]
            except (ArithmeticError, ValueError):
                raise Unreadable(f"calls {called.text} on a number for which it has no value") from None
        if called.path == "len" and isinstance(first, Items):
            return Constant(len(first.values))
    if names.is_array(called.path) and isinstance(first, Items | Constant) and _only_numbers(first):
        if len(arguments) > 2 or any(key != "dtype" for key, _ in keywords):
            raise Unreadable(f"calls {called.text} with more than numbers and a type")
        kinds = [*arguments[1:], *(value for _, value in keywords)]
        if all(isinstance(kind, Constant) and kind.value == "float32" for kind in kinds):
            return (
                _as_floats(first) if kinds else _items(first.values, "[]", False) if isinstance(first, Items) else first
            )
    return None


def _only_numbers(value: Expression) -> bool:
    if isinstance(value, Items):
        return bool(value.values) and all(_only_numbers(one) for one in value.values)
    return isinstance(value, Constant) and _is_number(value.value) and math.isfinite(value.value)  # type: ignore[arg-type]


def _as_floats(value: Expression) -> Expression:
    if isinstance(value, Items):
        return _items(tuple(_as_floats(one) for one in value.values), "[]", False)
    return Constant(float(value.value)) if isinstance(value, Constant) else value  # type: ignore[arg-type]


def _sum(frame: _Frame, of: Expression) -> None:
    """Python's `sum` of a list of tensors in the code: 0 + first + second + ..."""
    if not isinstance(of, Items) or not of.values:
        raise Unreadable("sums something that is no list in the code")
    frame.stack.append(of.values[0])
    for one in of.values[1:]:
        frame.stack.append(one)
        _binary("+")(frame, 0)


_SIGNS = {"POWER": "**", "MULTIPLY": "*", "MODULO": "%", "ADD": "+", "SUBTRACT": "-", "FLOOR_DIVIDE": "//"}
_SIGNS |= {"TRUE_DIVIDE": "/", "MATRIX_MULTIPLY": "@", "AND": "&", "OR": "|", "XOR": "^"}
_SIGNS |= {"LSHIFT": "<<", "RSHIFT": ">>"}

_STEPS: dict[str, Callable[[_Frame, int], None]] = {
    **{f"BINARY_{word}": _binary(sign) for word, sign in _SIGNS.items()},
    **{f"INPLACE_{word}": _binary(sign) for word, sign in _SIGNS.items()},
    **dict.fromkeys(("NOP", "RESUME", "COPY_FREE_VARS", "PRECALL"), _nothing),
    "BINARY_OP": _binary_op,
    "BINARY_SLICE": _binary_slice,
    "BINARY_SUBSCR": _subscript,
    "BUILD_LIST": _build("[]"),
    "BUILD_SLICE": _build_slice,
    "BUILD_TUPLE": _build("()"),
    "CALL": _call_311,
    "CALL_FUNCTION": _call_function,
    "CALL_FUNCTION_KW": _call_function_kw,
    "CALL_KW": _call_kw,
    "CALL_METHOD": _call_method,
    "COMPARE_OP": _compare,
    "COPY": _copy,
    "DELETE_FAST": _delete_fast,
    "DUP_TOP": _dup_top,
    "IMPORT_FROM": _import_from,
    "IMPORT_NAME": _import_name,
    "KW_NAMES": _kw_names,
    "LIST_EXTEND": _list_extend,
    "LIST_TO_TUPLE": _list_to_tuple,
    "LOAD_ATTR": _load_attr,
    "LOAD_CONST": _load_const,
    "LOAD_DEREF": _load_deref,
    "LOAD_FAST": _load_fast,
    "LOAD_FAST_CHECK": _load_fast,
    "LOAD_FAST_LOAD_FAST": _two_variables(_load_fast, _load_fast),
    "LOAD_GLOBAL": _load_global,
    "LOAD_METHOD": _load_method,
    "POP_TOP": _pop_top,
    "PUSH_NULL": _push_null,
    "ROT_FOUR": _rotate(4),
    "ROT_THREE": _rotate(3),
    "ROT_TWO": _rotate(2),
    "STORE_FAST": _store_fast,
    "STORE_FAST_LOAD_FAST": _two_variables(_store_fast, _load_fast),
    "STORE_FAST_STORE_FAST": _two_variables(_store_fast, _store_fast),
    "SWAP": _swap,
    "UNARY_INVERT": _unary("~x", "logical_not"),
    "UNARY_NEGATIVE": _unary("-x", "negative"),
    "UNPACK_SEQUENCE": _unpack_sequence,
}
"""What each instruction does to a frame."""
