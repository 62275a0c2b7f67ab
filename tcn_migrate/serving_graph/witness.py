"""A SavedModel as a witness of itself: what its serving graph computes, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.errors import MigrationError, quoted
from tcn_migrate.serving_graph.interpreter import Interpreter
from tcn_migrate.serving_graph.limits import NotInterpreted
from tcn_migrate.serving_graph.serving import Serving, read_serving


@dataclass(frozen=True)
class Witness:
    """The serving graph of a SavedModel.

    Attributes:
        serving: its signature.
    """

    serving: Serving

    def predict(self, inputs: Mapping[str, Array], *, single: bool = False) -> dict[str, Array]:
        """What the serving function returns.

        Args:
            inputs: an array for each of `serving.inputs`, in the shape and type that the model takes.
            single: round the result of every operation to float32, as the exporting library did; otherwise everything
                is computed in float64.

        Returns:
            The outputs by name.

        Raises:
            NotInterpreted: an operation is unknown or does not take its inputs, or a bound is exceeded.
        """
        if set(inputs) != set(self.serving.inputs):
            raise NotInterpreted(
                f"the inputs {_listed(self.serving.inputs)} of the serving signature are not {_listed(inputs)}"
            )
        run = Interpreter(self.serving.messages, single)
        given = [_as_computed(inputs[name], single) for name in self.serving.inputs]
        captured = [_as_computed(one, single) if isinstance(one, np.ndarray) else one for one in self.serving.captures]
        try:
            results = run.call(self.serving.function, [*given, *captured], None)
        except NotInterpreted:
            raise
        except MigrationError as error:  # a variable whose bytes are damaged, or a message that is cut off
            raise NotInterpreted(error.problem) from None
        if len(results) != len(self.serving.outputs):
            raise NotInterpreted("a serving function with other outputs than its signature")
        return {
            name: result
            for name, result in zip(self.serving.outputs, results, strict=True)
            if isinstance(result, np.ndarray)
        }


def witness(folder: Path) -> Witness:
    """The serving graph of a SavedModel, with the values of its variables, which are read when they are needed.

    Args:
        folder: the SavedModel; nothing outside of it is read.

    Raises:
        NotInterpreted: it has no serving function, or one that captures what cannot be read.
    """
    try:
        return Witness(read_serving(folder))
    except NotInterpreted:
        raise
    except MigrationError as error:
        raise NotInterpreted(error.problem) from None


def _as_computed(values: Array, single: bool) -> Array:
    if values.dtype.kind == "f":
        return values.astype(np.float32 if single else np.float64, copy=False)
    if values.dtype.kind in "US":
        encoded = [item if isinstance(item, bytes) else str(item).encode() for item in values.reshape(-1).tolist()]
        return np.array([*encoded, b""], object)[:-1].reshape(values.shape)
    return values


def _listed(names: object) -> str:
    return ", ".join(map(quoted, sorted(names))) if isinstance(names, tuple | Mapping) else ""
