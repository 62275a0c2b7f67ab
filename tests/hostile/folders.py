"""Hostile SavedModels and checkpoints: lying indexes, graphs and notes, and files that are none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tcn_migrate.containers.protobuf import fields, message_fields, text
from tests.hostile import bend, bundle
from tests.hostile.bundle import (
    Change,
    again,
    copied,
    edge,
    entry,
    kernel_of,
    message,
    noted,
    regraphed,
    reindexed,
    renoted,
)
from tests.hostile.table import EITHER, PASSES, Hostile, Place

BEYOND = 1 << 62


def row(id: str, attempts: str, change: Change, expect: str = "refused", words: tuple[str, ...] = ()) -> Hostile:
    return Hostile(id, attempts, "", copied(bend.SAVED_MODEL, change), expect, words)


def _in_place_of(name: str, make: Any) -> Change:
    def change(path: Path, place: Place) -> None:
        (path / name).unlink(missing_ok=True)
        make(path / name, place)

    return change


def _pipe(file: Path, place: Place) -> None:
    os.mkfifo(file)


def _secret(file: Path, place: Place) -> None:
    file.symlink_to(place.secret / "secret.txt")


def _endless(file: Path, place: Place) -> None:
    file.symlink_to("/dev/zero")


def _folder(file: Path, place: Place) -> None:
    file.mkdir()


DATA, GRAPH, NOTES = "variables/variables.data-00000-of-00001", "saved_model.pb", "keras_metadata.pb"
MODEL = "_tf_keras_network"


def _many_tcns(metadata: Any) -> None:
    """3 000 TCNs of 1 000 blocks each, in a config of 1 MB, all with the arrays of the one that there is."""
    layers = metadata["config"]["layers"]
    number, tcn = next((n, layer) for n, layer in enumerate(layers) if layer["class_name"] == "TCN")
    for copy in range(2_000):
        own = {"name": f"t{copy}", "nb_filters": 3, "kernel_size": 2, "dilations": [1], "nb_stacks": 1_000}
        layers.insert(number + 1 + copy, {**tcn, "name": f"t{copy}", "config": own})


def _shared(nodes: list[bytes]) -> list[bytes]:
    """The graph in which all of them are the same object, whose blocks are one."""
    tcn = next(n for n, node in enumerate(nodes) if b"residual_block_0" in node and b"slicer" in node)
    children = {text(dict(fields(child))[2]): dict(fields(child))[1] for child in message_fields(nodes[tcn], 1)}
    nodes[tcn] += b"".join(edge(f"residual_block_{n}", children["residual_block_1"]) for n in range(1_000))  # type: ignore[arg-type]
    dense = next(dict(fields(c))[1] for c in message_fields(nodes[0], 1) if text(dict(fields(c))[2]) == "layer-2")
    nodes[0] = b"".join(edge(f"layer-{n}", tcn) for n in range(1, 2_002))
    nodes[0] += edge("layer-0", 1) + edge("layer-2002", dense)  # type: ignore[arg-type]
    return nodes


FOLDERS = [
    # files that are none
    *(
        row(
            f"outside-folder-{name.rpartition('/')[2][:5]}-{what.__name__[1:]}",
            f"opens a {what.__name__[1:]}",
            _in_place_of(name, what),
        )
        for name in (DATA, "variables/variables.index", NOTES)
        for what in (_pipe, _secret, _endless, _folder)
    ),
    row("outside-folder-graph-secret", "reads the graph behind a link", _in_place_of(GRAPH, _secret), EITHER),
    Hostile(
        "outside-state-absolute",
        "reads the checkpoint that `checkpoint` names by an absolute path",
        "",
        copied(
            bundle.CHECKPOINT,
            lambda path, p: (path / "checkpoint").write_text(f'model_checkpoint_path: "{p.secret}/secret"\n'),
        ),
        words=("secret",),
    ),
    Hostile(
        "outside-state-escaped",
        "decodes .. after it looked for it",
        "",
        copied(
            bundle.CHECKPOINT,
            lambda path, p: (path / "checkpoint").write_text(
                'model_checkpoint_path: "\\056\\056\\057secret\\057secret"\n'
            ),
        ),
        words=("outside",),
    ),
    Hostile(
        "outside-state-secret",
        "reads `checkpoint` behind a link",
        "",
        copied(bundle.CHECKPOINT, _in_place_of("checkpoint", _secret)),
        words=("link",),
    ),
    Hostile("outside-state-pipe", "waits for ever", "", copied(bundle.CHECKPOINT, _in_place_of("checkpoint", _pipe))),
    Hostile(
        "size-state",
        "backtracks over a megabyte of blanks",
        "",
        copied(
            bundle.CHECKPOINT,
            lambda path, p: (path / "checkpoint").write_text(
                "model_checkpoint_path" + " " * 500_000 + '"' + "\\a" * 200_000
            ),
        ),
    ),
    # the index
    row(
        "whole-index-size",
        "a block that is longer than the file",
        reindexed(lambda keys: None, says=1 << 40),
        words=("beyond",),
    ),
    row(
        "whole-index-snappy",
        "inflates what says that it is packed",
        reindexed(lambda keys: None, kind=1),
        words=("compress",),
    ),
    row(
        "whole-index-checksum",
        "does not look at the block's checksum",
        reindexed(lambda keys: None, checksum=7),
        words=("checksum",),
    ),
    row(
        "size-index-restarts",
        "skips 4 GiB of restart points",
        reindexed(lambda keys: None, restarts=(1 << 32) - 1),
        words=("restart",),
    ),
    row(
        "size-index-shared",
        "copies a key's start that is not there",
        reindexed(
            lambda keys: None,
            made=bundle.sealed(bundle.varint(1 << 40) + b"\1\1kv" + bytes(4) + (1).to_bytes(4, "little")),
        ),
        words=("entry",),
    ),
    row(
        "size-index-keys",
        "makes keys of 16 kB by the million out of 5 bytes each",
        reindexed(
            lambda keys: None,
            made=bundle.sealed(
                b"\0"
                + bundle.varint(16_000)
                + b"\0"
                + b"k" * 16_000
                + (bundle.varint(15_999) + b"\1\0x") * 1_000_000
                + bytes(4)
                + (1).to_bytes(4, "little")
            ),
        ),
        words=("keys",),
    ),
    row("whole-index-negative", "seeks to -1", reindexed(entry(f4=(1 << 64) - 1))),
    row("whole-index-past-end", "reads zeros behind the end", reindexed(entry(f4=BEYOND))),
    row("size-index-huge", "allocates 4 EiB", reindexed(entry(f5=BEYOND))),
    row(
        "size-index-shape",
        "allocates for a shape",
        reindexed(entry(f2=bundle.shape(1 << 31, 1 << 31, 4))),
        words=("conv1d_0",),
    ),
    row("size-index-rank", "a shape of 10 000 axes", reindexed(entry(f2=bundle.shape(*[1] * 10_000)))),
    row("whole-index-axis", "an axis of -1", reindexed(entry(f2=bundle.shape(2, 3, (1 << 64) - 1)))),
    *(
        row(
            f"whole-index-type-{kind}", "takes strings, variants or unknown types for floats", reindexed(entry(f1=kind))
        )
        for kind in (7, 8, 21, 101, 1 << 40)
    ),
    row(
        "whole-index-overlap",
        "reads one array's bytes for another's",
        reindexed(lambda keys: keys.update({kernel_of(keys): again(keys[kernel_of(keys)], f4=0)})),
        words=("checksum",),
    ),
    row("whole-index-other-shard", "opens a shard that is not there", reindexed(entry(f3=1)), words=("data file",)),
    row(
        "size-index-shards",
        "opens 2³⁰ shards",
        reindexed(lambda keys: keys.update({b"": message((1, 1 << 30))})),
        words=("data-00000-of-1073741824",),
    ),
    row(
        "whole-index-sliced",
        "reads a part for the whole",
        reindexed(lambda keys: keys.update({kernel_of(keys): keys[kernel_of(keys)] + message((7, message((1, b""))))})),
        words=("slices",),
    ),
    row(
        "whole-index-endless",
        "an integer without end",
        reindexed(lambda keys: keys.update({kernel_of(keys): b"\xff" * 500})),
        words=("integer",),
    ),
    row(
        "size-index-length",
        "a string of 2⁶³ bytes",
        reindexed(lambda keys: keys.update({kernel_of(keys): b"\x12" + bundle.varint(1 << 63)})),
        words=("field",),
    ),
    row(
        "says-index-key",
        "prints a key raw",
        reindexed(lambda keys: keys.update({b"\x1b[2J\nVERIFIED: all predictions equal": keys[kernel_of(keys)]})),
        EITHER,
    ),
    row(
        "whole-index-key-bytes",
        "a key that is no text",
        reindexed(lambda keys: keys.update({b"\xff\xfe": keys[kernel_of(keys)]})),
        words=("utf-8",),
    ),
    # the object graph
    row(
        "size-graph-circle",
        "follows an object that holds itself",
        regraphed(lambda nodes: [node + edge("again", number) + edge("root", 0) for number, node in enumerate(nodes)]),
        PASSES,
    ),
    row(
        "size-graph-models",
        "looks for models in a web of objects",
        regraphed(
            lambda nodes: [
                b"".join(edge(f"m{number}", number) for number in range(1, 300)),
                *(b"".join(edge(f"e{number}", number) for number in range(1, 300)) for _ in range(299)),
            ]
        ),
    ),
    row(
        "whole-graph-nowhere",
        "an edge to a node that is not there",
        regraphed(lambda nodes: [nodes[0] + edge("far", BEYOND), *nodes[1:]]),
        words=("does not exist",),
    ),
    row("whole-graph-empty", "no node at all", regraphed(lambda nodes: [])),
    row(
        "size-graph-nodes",
        "makes an object of each of 2 million nodes",
        regraphed(lambda nodes: [*nodes, *[b""] * 2_000_000]),
        words=("too many",),
    ),
    row(
        "size-graph-edges",
        "makes an entry for each of 2 million edges",
        regraphed(lambda nodes: [nodes[0] + message((1, b"\x08\1")) * 2_000_000, *nodes[1:]]),
        words=("too many",),
    ),
    row(
        "size-many-tcns",
        "reads 2 000 000 blocks out of one TCN's arrays",
        lambda path, p: (renoted(_many_tcns)(path, p), regraphed(_shared)(path, p)),
        words=("claimed twice",),
    ),
    # Keras's notes
    row(
        "size-notes-length",
        "a note of 2⁶² bytes",
        lambda path, p: (path / NOTES).write_bytes(b"\x0a" + bundle.varint(BEYOND)),
        words=("field",),
    ),
    row(
        "size-notes-again",
        "parses a large note for each of 20 000 layers below it",
        noted(
            ("root.layer-0", "_tf_keras_layer", {"name": "big", "config": [0] * 400_000}),
            *(
                (
                    f"root.layer-0.a{number}.lambda_layer",
                    "_tf_keras_layer",
                    {"class_name": "Lambda", "config": {"function": [0, 0, [1]]}},
                )
                for number in range(20_000)
            ),
        ),
        PASSES,
    ),
    row(
        "size-notes-depth",
        "recurses into a note",
        noted(("root.a.lambda_layer", "_tf_keras_layer", b'{"config": ' + b"[" * 90_000 + b"]" * 90_000 + b"}")),
        words=("deep",),
    ),
    row("whole-notes-two-models", "takes the last of two models", noted(("root", MODEL, {"class_name": "Model"}))),
    row("whole-notes-no-json", "an exception of the JSON reader", noted(("root", MODEL, b"\xff\xfe{"))),
    row(
        "runs-notes-lambda",
        "runs the code of a Lambda in the notes",
        lambda path, p: renoted(lambda metadata: bend.inserted("Lambda", bend.lambda2(p.canary))(metadata))(path, p),
        words=("lambda|layers",),
    ),
    row(
        "runs-notes-class",
        "imports what the notes name as the model's class",
        renoted(lambda metadata: metadata.update(class_name="evil_tcn.TCN", config={"name": "m"}, model_config=None)),
        words=("evil_tcn",),
    ),
    row(
        "whole-graph-proto",
        "reads a graph that is none",
        lambda path, p: ((path / NOTES).unlink(), (path / GRAPH).write_bytes(b"\x12" + bundle.varint(BEYOND) + b"x")),
        words=("field",),
    ),
]
