"""Lookup tables, which preprocessing layers map words and numbers with.

Source: tensorflow/core/ops/lookup_ops.cc, tensorflow/core/kernels/lookup_table_op.cc.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.serving_graph.limits import NotInterpreted
from tcn_migrate.serving_graph.messages import Node
from tcn_migrate.serving_graph.values import Operation, Runner, Table, Value, array


def _table(value: Value, node: Node) -> Table:
    if not isinstance(value, Table):
        raise NotInterpreted(f"operation {node.op!r} on what is no table", node=node.name)
    return value


def _find(run: Runner, node: Node, table: Value, keys: Value, default: Value) -> Array:
    entries, got, otherwise = _table(table, node).entries, array(keys, node), array(default, node)
    run.budget.step(node.name)
    found = np.empty(got.size, otherwise.dtype)
    fallback = otherwise.reshape(-1)[0]
    for place, key in enumerate(got.reshape(-1).tolist()):
        found[place] = entries.get(key, fallback)
    return found.reshape(got.shape)


def _import(run: Runner, node: Node, table: Value, keys: Value, values: Value) -> list[Value]:
    """LookupTableImport replaces all entries."""
    held = _table(table, node)
    held.entries = dict(zip(array(keys, node).reshape(-1).tolist(), array(values, node).reshape(-1), strict=True))
    return []


def _number_of_entries(run: Runner, node: Node, table: Value) -> Array:
    return np.array(len(_table(table, node).entries), np.int64)


TABLES: Mapping[str, Operation] = {
    "LookupTableFindV2": _find,
    "LookupTableImportV2": _import,
    "LookupTableSizeV2": _number_of_entries,
}
