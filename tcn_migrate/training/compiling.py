"""Loss, metrics and optimizer, from any stored form to the `compile_config` that every Keras 3 reads.

Only what stands in the tables here is carried; Keras would look up any other name in the process that loads the file.
What is left out is said, and never stops a migration: a model predicts without it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tcn_migrate.checkpoint import Json, KerasVersion
from tcn_migrate.config.catalogue.names import snake_case
from tcn_migrate.errors import quoted
from tcn_migrate.training.tables import FUNCTIONS, LOSSES, METRICS, OPTIMIZERS, SCHEDULES


@dataclass(frozen=True)
class Compiled:
    """A training configuration that was understood.

    Attributes:
        config: as Keras 3 stores it under `compile_config`.
        optimizer: the optimizer's class, or None if it is not carried.
        settings: of the optimizer, in Keras 3's names.
        legacy: the optimizer is one of Keras before 2.11, which computes some things differently.
        dropped: what was left out, in plain sentences.
    """

    config: Json
    optimizer: str | None
    settings: Json
    legacy: bool
    dropped: tuple[str, ...]


def compile_config(stored: Mapping[str, Any], *, keras_version: str, outputs: Sequence[str]) -> Compiled | None:
    """What the stored training configuration says, in Keras 3's words.

    Args:
        stored: HDF5's `training_config`, a SavedModel's, or Keras 3's `compile_config`.
        keras_version: of the file.
        outputs: the names of the model's outputs, by which losses and metrics may be given.

    Returns:
        None if the file says nothing of an optimizer, a loss or metrics.
    """
    given = stored.get("optimizer") or stored.get("optimizer_config")
    if not (given or stored.get("loss") or stored.get("metrics")):
        return None
    dropped: list[str] = []
    optimizer, legacy = None, False
    if given:
        optimizer, legacy = _optimizer(given, keras_version, dropped)
    single = len(outputs) == 1
    loss = _for_outputs(stored.get("loss"), outputs, lambda one: _loss(one, dropped), "loss", dropped)
    config: Json = {
        "optimizer": optimizer or "rmsprop",
        "loss": loss,
        "loss_weights": _weights(stored.get("loss_weights"), outputs, dropped),
        "metrics": _all_metrics(stored.get("metrics"), outputs, single, dropped),
        "weighted_metrics": _all_metrics(stored.get("weighted_metrics"), outputs, single, dropped),
        "run_eagerly": False,
        "steps_per_execution": 1,
        "jit_compile": False,
    }
    if optimizer is None:
        dropped.append("without the optimizer, Keras's default takes its place until the model is compiled again")
    settings = optimizer["config"] if optimizer else {}
    return Compiled(config, optimizer["class_name"] if optimizer else None, settings, legacy, tuple(dropped))


def _for_outputs(given: Any, outputs: Sequence[str], read: Callable[[Any], Any], what: str, dropped: list[str]) -> Any:
    """Something that is given once, or for each output in a list or by name."""
    if isinstance(given, list):
        if len(given) == len(outputs):
            found = [read(one) for one in given]
            return found[0] if len(outputs) == 1 else found
    elif isinstance(given, Mapping) and "class_name" not in given:
        if set(given) <= set(outputs):
            return {name: read(one) for name, one in given.items()}
    else:
        return read(given)
    dropped.append(f"the {what} is given for outputs that the model does not have, and is left out")
    return None


def _loss(given: Any, dropped: list[str]) -> Any:
    if given is None:
        return None
    name, config = _named(given)
    function = FUNCTIONS.get(name) or FUNCTIONS.get(snake_case(name))
    if function is None:
        dropped.append(f"the loss {quoted(name)} is none of Keras's and is left out: compile the model with it again")
        return None
    if isinstance(given, str):
        return function
    class_name = LOSSES[function][0]
    kept = _kept(config, LOSSES[function][1])
    # Keras 2 says "auto" for what Keras 3 calls by its name.
    reduction = {"auto": "sum_over_batch_size"}.get(str(config.get("reduction")), config.get("reduction"))
    if reduction in ("sum", "sum_over_batch_size"):
        kept["reduction"] = reduction
    elif reduction not in (None, ""):
        dropped.append(f"the loss {quoted(name)} has a reduction that no training step can use, and is left out")
        return None
    return _object("losses", class_name, kept)


def _all_metrics(given: Any, outputs: Sequence[str], single: bool, dropped: list[str]) -> Any:
    """Metrics: one list for the only output, or a list or dictionary of lists."""
    if not given:
        return None

    def several(one: Any) -> list[Any]:
        listed = one if isinstance(one, list) else [one]
        return [metric for metric in (_metric(item, dropped) for item in listed if item is not None) if metric]

    if isinstance(given, list) and single:
        flat = [item for part in given for item in (part if isinstance(part, list) else [part])]
        return several(flat) or None
    if isinstance(given, list) and not any(isinstance(part, list | Mapping) for part in given):
        return [several(given) for _ in outputs]  # Keras 2: the same for each output
    found = _for_outputs(given, outputs, several, "list of metrics", dropped)
    return found if found and any(found.values() if isinstance(found, dict) else found) else None


def _metric(given: Any, dropped: list[str]) -> Any:
    name, config = _named(given)
    wrapped = config.get("fn") if name in ("MeanMetricWrapper", "SumOverBatchSizeMetricWrapper") else None
    called = wrapped if isinstance(wrapped, str) else name
    if isinstance(given, str) and called in ("accuracy", "acc", "crossentropy", "ce"):
        return {"acc": "accuracy", "ce": "crossentropy"}.get(called, called)
    class_name = METRICS.get(called) or METRICS.get(FUNCTIONS.get(called, "")) or METRICS.get(snake_case(called))
    if class_name is None:
        dropped.append(f"the metric {quoted(called)} is none of Keras's and is left out")
        return None
    kept = _kept(config, METRICS.allowed(class_name))
    if isinstance(given, str):
        kept = {"name": given} if re.fullmatch(r"\w{1,80}", given) else {}
    return _object("metrics", class_name, kept)


def _optimizer(given: Any, keras_version: str, dropped: list[str]) -> tuple[Json | None, bool]:
    if isinstance(given, str):  # `compile("adam")`, in `.keras` files of Keras 2
        given = {"class_name": next((known for known in OPTIMIZERS if known.lower() == given.lower()), given)}
    name, config = _named(given)
    class_name = name.rpartition(">")[2]
    module = str(given.get("module")) if isinstance(given, Mapping) else ""
    if class_name not in OPTIMIZERS or (name != class_name and not name.startswith("Custom>")) or "addons" in module:
        dropped.append(f"the optimizer {quoted(name)} is none of Keras's and is left out")
        return None, False
    version = KerasVersion.parse(keras_version) or KerasVersion((2,))
    release = version.release
    legacy = release < (2, 11) or bool(config.get("is_legacy_optimizer")) or ("decay" in config and release < (3,))
    config = dict(config)
    if "lr" in config:
        config.setdefault("learning_rate", config["lr"])
    if release < (2, 4) and not version.of_tensorflow and config.get("clipnorm"):
        # keras up to 2.3 measured the length of all gradients together (keras/optimizers.py, `get_gradients`).
        config["global_clipnorm"] = config.pop("clipnorm")
    kept = _kept(config, OPTIMIZERS[class_name])
    rate = _learning_rate(config.get("learning_rate"), config.get("decay"), dropped)
    if rate is not None:
        kept["learning_rate"] = rate
    for flag in ("loss_scale_factor", "gradient_accumulation_steps"):
        if isinstance(config.get(flag), int | float) and not isinstance(config.get(flag), bool):
            kept[flag] = config[flag]  # which the first releases of Keras 3 do not know
    return _object("optimizers", class_name, kept), legacy


def _learning_rate(given: Any, decay: Any, dropped: list[str]) -> Any:
    """A number, or one of Keras's schedules."""
    if isinstance(given, Mapping):
        name, config = _named(given)
        allowed = SCHEDULES.get(name.rpartition(">")[2])
        if allowed is None:
            dropped.append(f"the learning rate's schedule {quoted(name)} is none of Keras's and is left out")
            return None
        return _object("optimizers.schedules", name.rpartition(">")[2], _kept(config, allowed))
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        return None
    if isinstance(decay, int | float) and decay > 0:
        # The same function: rate / (1 + decay * step), keras/optimizers/optimizer_v2.py `_decayed_lr`.
        settings = {"initial_learning_rate": given, "decay_steps": 1, "decay_rate": decay, "staircase": False}
        return _object("optimizers.schedules", "InverseTimeDecay", settings)
    return float(given)


def _weights(given: Any, outputs: Sequence[str], dropped: list[str]) -> Any:
    """Weights of the outputs' losses."""
    values = list(given.values()) if isinstance(given, Mapping) else given
    if not values or not isinstance(values, list):
        return None
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
    fits = set(given) <= set(outputs) if isinstance(given, Mapping) else len(values) == len(outputs)
    if numbers and fits:
        return dict(given) if isinstance(given, Mapping) else values
    dropped.append("the weights of the losses do not fit the model's outputs and are left out")
    return None


def _named(given: Any) -> tuple[str, Json]:
    """The name of a loss, metric, optimizer or schedule, and its settings."""
    if isinstance(given, Mapping):
        config = given.get("config")
        if given.get("class_name") == "function" and isinstance(config, str):
            return config, {}
        return str(given.get("class_name")), dict(config) if isinstance(config, Mapping) else {}
    return str(given), {}


def _kept(config: Mapping[str, Any], allowed: frozenset[str]) -> Json:
    """The settings that are known and that are data."""
    return {key: value for key, value in config.items() if key in allowed and value is not None and _is_data(value)}


def _is_data(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= 1_000 and all(isinstance(v, int | float) and math.isfinite(v) for v in value)
    if isinstance(value, str):
        return re.fullmatch(r"[\w ./-]{0,80}", value) is not None
    return isinstance(value, bool) or (isinstance(value, int | float) and math.isfinite(value))


def _object(where: str, class_name: str, config: Json) -> Json:
    return {"module": f"keras.{where}", "class_name": class_name, "config": config, "registered_name": None}
