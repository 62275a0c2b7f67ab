"""What a layer class of Keras is: the type of the catalogue's rows, and of the variables, parts and mask rules in them.

The rows are in `layers`, a module a family; `classes` is their index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tcn_migrate.checkpoint import Json, KerasVersion
from tcn_migrate.config.catalogue.settings import words

Shape: TypeAlias = tuple[int | None, ...]
"""Sizes of a tensor, the batch first; None where a size is not known."""

ANY: Any = object()
"""Any value, as that of a setting which never has an effect."""


@dataclass(frozen=True)
class Variable:
    """One array of a layer.

    Attributes:
        name: Keras 3's attribute name.
        shape: as far as the config implies it; None for a size, or for the whole shape, that only the input knows.
        aliases: what older releases called it.
        trainable: False for statistics.
        copy_of: where the same array stands a second time, as the rest of an address below the same layer: the wrapped
            layer's kernel is stored by SpectralNormalization too. Older files hold it once.
    """

    name: str
    shape: Shape | None = None
    aliases: tuple[str, ...] = ()
    trainable: bool = True
    copy_of: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Part:
    """A layer inside a layer.

    Attributes:
        role: the attribute under which Keras 3's weight store keeps it.
        entry: its `{"class_name", "config"}`.
        store_names: other attribute names of the same thing in weight stores and object graphs of Keras 2.
        scopes: name scopes in variable paths, best first; "" where the part's variables stand directly under the
            layer's name. Keras numbers some scopes through a session (`lstm_cell_7`), so a number may follow.
    """

    role: str
    entry: Json
    store_names: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class MaskRule:
    """What a layer class does with the masks of its inputs, in Keras 2 and in Keras 3.

    A mask rides on a tensor (`_keras_mask`) from the layer that makes it to those that use it. Measured with TensorFlow
    2.4.4 and 2.15.1 against Keras 3.0.5, 3.8.0 and 3.15.1, by calling each layer on a masked tensor, and read in Keras
    2.6 to 2.10.

    Attributes:
        role: what is done with a mask; "none": it is passed on or ends.
        keras_2: whether Keras 2 passes it on ("heads": looks at it).
        since: the release of Keras 2 from which on `keras_2` is true; before, it does not.
        unmeasured: releases of Keras 2 for which that is not known.
        keras_3: whether Keras 3 passes it on; None: it depends on the release, the backend or the values.
    """

    role: Literal["none", "makes", "uses", "recurrent", "merges", "attends", "heads"] = "none"
    keras_2: bool = False
    since: tuple[int, int] | None = None
    unmeasured: frozenset[tuple[int, ...]] = frozenset()
    keras_3: bool | None = False

    def in_keras_2(self, version: KerasVersion | None) -> bool | None:
        """`keras_2` for one release; None if that is not known."""
        if self.since is None:
            return self.keras_2
        if version is None or len(version.release) < 2 or version.release in self.unmeasured:
            return None
        return self.keras_2 and version.release >= self.since


ENDS = MaskRule()
PASSES = MaskRule(keras_2=True, keras_3=True)
PASSES_IN_KERAS_3 = MaskRule(keras_3=True)
HANDS_ON = MaskRule(keras_2=True, keras_3=None)
"""In inference Keras 2 hands its very input on, and the mask with it. Keras 3 mostly does so too."""
MAY_BE_THE_INPUT = MaskRule(keras_3=None)
"""It ends the mask; but where nothing changes, a backend of Keras 3 may hand back its very input, mask and all."""
MAKES = MaskRule("makes")
"""It makes a mask of its own, the same in both."""
USES = MaskRule("uses")
RECURRENT = MaskRule("recurrent")
"""It uses a mask, and passes it on with a returned sequence. Keras 3 does not see it if initial states are given."""
MERGES = MaskRule("merges")
"""Keras 2 takes the masks that there are and ANDs them. Keras 3.0 drops them, later ones OR them if all inputs have
one, and Multiply, Maximum and Minimum then compute something else where a mask is False. Concatenate asks all
features (Keras 2) or any (Keras 3), and in Keras 3 takes names away from the model."""
ATTENDS = MaskRule("attends")
"""It uses and passes the query's mask and uses the value's. Keras 3.0 to 3.8 fail on the latter, 3.0 never passes."""
HEADS = MaskRule("heads", keras_2=True, since=(2, 10))
"""It looks at the masks of its inputs since Keras 2.10. Keras 3 takes them off the tensors that it is called on."""


def _none(config: Json) -> tuple[()]:
    return ()


def _unknown(config: Json, shapes: Sequence[Shape | None]) -> None:
    return None


@dataclass(frozen=True)
class LayerClass:
    """A row of the catalogue: one layer class, in Keras 2 and in Keras 3.

    A class that Keras 3 has has `settings`. One of Keras 2 alone says what becomes of it: `replaced_by`, `gone`.

    Attributes:
        name: its newest name.
        former_names: what older releases wrote for the same function.
        store_as: the class name after which Keras 3's weight store names it, if it is another one.
        settings: what its config may hold in Keras 3, but for `COMMON`; None if Keras 3 has no such class. Taken from
            `get_config()` in 3.0.5, 3.3.3, 3.5.0, 3.8.0, 3.10.0, 3.12.0, 3.14.0 and 3.15.1.
        younger: settings that some Keras 3 from 3.0.5 on does not know and refuses, with their default.
        without_effect: settings of Keras 3 that may always be left out.
        keras_2_settings: settings of Keras 2 alone, and the one value at which each can be left out (or `ANY`).
        defaults: Keras 2's, where a reader needs them.
        model: the module in which Keras 3 finds it, if it is a model.
        raw: operations replace it. Its config is read by whoever replaces it, and stays as it is until then.
        replaced_by: the class with which a repair writes what Keras 2 computed.
        gone: why it cannot be migrated; completes "its class cannot be migrated: ...".
        unsafe: what its config holds, if that is code or points out of the file; completes "its class is x, and ...".
        variables: its own variables, without those of its parts, in the order of `vars/0`, `vars/1`, ... in Keras 3's
            store, from its config in normal form.
        parts: the layers inside it, from its config in normal form.
        output_shape: of its first output, from its config and the shapes of its inputs; None where they do not tell.
        several_outputs: it can give states or scores, or a structure that it was given; others give one tensor.
        masks: what it does with masks.
        rates: settings by which it computes something else in training; at 0 they do nothing.
        random: it computes something else in training, whatever its settings.
    """

    name: str
    settings: frozenset[str] | None = None
    former_names: tuple[str, ...] = ()
    store_as: str | None = None
    younger: Mapping[str, Any] = field(default_factory=dict)
    without_effect: tuple[str, ...] = ()
    keras_2_settings: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    raw: bool = False
    replaced_by: str | None = None
    gone: str | None = None
    unsafe: str | None = None
    variables: Callable[[Json], Iterable[Variable]] = _none
    parts: Callable[[Json], Iterable[Part]] = _none
    output_shape: Callable[[Json, Sequence[Shape | None]], Shape | None] = _unknown
    several_outputs: bool = False
    masks: MaskRule = ENDS
    rates: tuple[str, ...] = ()
    random: bool = False

    @property
    def is_known(self) -> bool:
        """Whether it can be migrated, as it is or as what replaces it."""
        return self.settings is not None or self.model is not None or self.raw or self.replaced_by is not None


def layer(name: str, settings: str | None = "", **facts: Any) -> LayerClass:
    """A row, its settings and rates given as words with spaces between."""
    for key in ("rates", "without_effect"):
        if key in facts:
            facts[key] = tuple(facts[key].split())
    return LayerClass(name, None if settings is None else words(settings), **facts)


def size_of(value: object) -> int | None:
    """A size that a config states; None if it states none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def extent(value: object, rank: int) -> Shape:
    """A kernel's extent: Keras takes one number for all axes, or one an axis."""
    if isinstance(value, list | tuple):
        return tuple(size_of(item) for item in value)
    return (size_of(value),) * rank


def only_if(condition: object, *found: Variable) -> tuple[Variable, ...]:
    return found if condition else ()


def bias(config: Json, *shape: int | None) -> tuple[Variable, ...]:
    return only_if(config.get("use_bias", True), Variable("bias", shape))


def wrapped(config: Json) -> Iterable[Part]:
    """The layer in a wrapper: Keras 2 leaves out the inner layer's name in scopes, Keras 3 has it."""
    entry = entry_at(config, "layer")
    return (Part("layer", entry, scopes=("", name_in(entry))),)


def activation_part(config: Json) -> Iterable[Part]:
    """An activation that is a layer with variables (a PReLU); under Keras 2 its scope is its name or its class.

    Of classes that call their activation once, on their output, so that it may be such a layer.
    """
    entry = config.get("activation")
    if isinstance(entry, dict) and entry.get("class_name") == "PReLU":
        yield Part("activation", entry, scopes=tuple(dict.fromkeys((name_in(entry), "p_re_lu"))))


def entry_at(config: Json, key: str) -> Json:
    entry = config.get(key)
    return entry if isinstance(entry, dict) else {}


def name_in(entry: Json) -> str:
    """A layer's name as its config has it."""
    config = entry.get("config")
    return str(config.get("name", "")) if isinstance(config, dict) else ""
