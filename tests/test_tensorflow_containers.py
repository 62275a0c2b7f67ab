"""What TensorFlow's own containers hold is read as TensorFlow reads it, and nothing that a stranger wrote hurts."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tcn_migrate.containers import object_graph, saved_model, tensor_bundle, tf_checkpoint
from tcn_migrate.containers.crc32c import masked_crc32c
from tcn_migrate.containers.object_graph import GraphNode, ObjectGraph, model_children, models_below, parse_object_graph
from tcn_migrate.containers.protobuf import fields, varint
from tcn_migrate.containers.tensor_bundle import read_bundle
from tcn_migrate.errors import ArchitectureNeeded, ContainerError, MigrationError, NamingError, UnsafeError

FIXTURES = Path(__file__).parent.parent / "legacy_fixtures" / "keras2"
INDEXES = sorted(FIXTURES.rglob("*.index"))
fuzzed = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
unhurried = settings(deadline=None)


# ------------------------------------------------------------------ writing what the readers are to read


def number(value: int) -> bytes:
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def message(*content: tuple[int, int | bytes]) -> bytes:
    return b"".join(
        number(field << 3) + number(value)
        if isinstance(value, int)
        else number(field << 3 | 2) + number(len(value)) + value
        for field, value in content
    )


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    content, last = b"", b""
    for key, value in entries:
        shared = next(
            (at for at, pair in enumerate(zip(last, key, strict=False)) if len(set(pair)) > 1), min(len(last), len(key))
        )
        content += number(shared) + number(len(key) - shared) + number(len(value)) + key[shared:] + value
        last = key
    return content + struct.pack("<II", 0, 1)


def closed(content: bytes, compression: int = 0) -> bytes:
    """A block with its trailer."""
    typed = content + bytes([compression])
    return typed + struct.pack("<I", masked_crc32c(typed))


def table(blocks: list[bytes], places: list[tuple[int, int]] | None = None) -> bytes:
    content, own = b"", []
    for one in blocks:
        own.append((len(content), len(one) - 5))
        content += one
    handles = [(b"%05d" % at, number(start) + number(size)) for at, (start, size) in enumerate(places or own)]
    index = closed(block(handles))
    footer = number(0) + number(0) + number(len(content)) + number(len(index) - 5)
    return content + index + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def tensor(data: bytes, shape: tuple[int, ...], dtype: int = 1, **changes: int) -> bytes:
    sizes = message(*((2, message((1, size))) for size in shape))
    crc = changes.get("crc", masked_crc32c(data))
    return (
        message(
            (1, dtype),
            (2, sizes),
            (3, changes.get("shard", 0)),
            (4, changes.get("offset", 0)),
            (5, changes.get("size", len(data))),
        )
        + number(6 << 3 | 5)
        + struct.pack("<I", crc)
    )


HEADER = (b"", message((1, 1), (3, message((1, 1)))))


def write_bundle(
    folder: Path, entries: list[tuple[bytes, bytes]], data: bytes, header: tuple[bytes, bytes] = HEADER
) -> None:
    (folder / "x.index").write_bytes(table([closed(block([header, *entries]))]))
    (folder / "x.data-00000-of-00001").write_bytes(data)


VALUES = np.arange(6, dtype="<f4").tobytes()


# ------------------------------------------------------------------ as TensorFlow reads it


@pytest.mark.parametrize("index", INDEXES, ids=lambda path: path.relative_to(FIXTURES).parts[0])
def test_every_key_shape_dtype_and_value_is_what_tensorflow_reads(index: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    reader = tf.train.load_checkpoint(str(index.with_suffix("")))
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    bundle = read_bundle(index.parent, index.stem)
    assert bundle.entries.keys() == shapes.keys()
    for key, array in bundle.arrays().items():
        expected, found = reader.get_tensor(key), array.read()
        assert (list(array.shape), array.dtype) == (shapes[key], dtypes[key].name)
        assert (found.shape, found.dtype, found.tobytes()) == (expected.shape, expected.dtype, expected.tobytes())
    if tensor_bundle.OBJECT_GRAPH in shapes:
        assert bundle.object_graph() == reader.get_tensor(tensor_bundle.OBJECT_GRAPH)


def test_all_dtypes_shapes_and_blocks_that_tensorflow_writes_come_back(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    generator = np.random.default_rng(0)
    floats, whole = ["float16", "float32", "float64", "complex64", "complex128"], ["int8", "int16", "int32", "int64"]
    names = [*floats, *whole, *(f"u{name}" for name in whole), "bool"]
    arrays = {f"dtype/{name}": generator.integers(0, 2, (2, 3)).astype(name) for name in names}
    arrays |= {
        "scalar": np.float32(2.5),
        "empty": np.zeros((0, 3), np.float32),
        "large": generator.normal(size=(300, 700)),
    }
    arrays |= {f"many/{at:05d}/{'long' * 20}": np.float32(at) for at in range(8000)}
    tensors = {key: tf.constant(value) for key, value in arrays.items()}
    tensors["bfloat16"] = tf.cast(tf.constant([1.5, -2.25, 3e38]), tf.bfloat16)
    tensors["text"] = tf.constant(["a", "bc"])
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "x"),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=[*tensors.values()],
    )
    found = read_bundle(tmp_path, "x").arrays()
    assert found.keys() == tensors.keys()
    for key, value in arrays.items():
        read = found[key].read()
        assert (read.dtype, read.shape, read.tobytes()) == (value.dtype, value.shape, value.tobytes()), key
    assert found["bfloat16"].dtype == "bfloat16"
    np.testing.assert_array_equal(found["bfloat16"].read(), tf.cast(tensors["bfloat16"], tf.float32).numpy())
    with pytest.raises(ContainerError, match="object values"):
        found["text"].read()


def test_a_variable_in_slices_is_refused_and_not_half_read(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "x"),
        tensor_names=["v", "v"],
        shape_and_slices=["4 2 0,2:-", "4 2 2,2:-"],
        tensors=[tf.ones((2, 2))] * 2,
    )
    arrays = read_bundle(tmp_path, "x").arrays()
    assert list(arrays) == ["v"]
    with pytest.raises(ContainerError, match="slices"):
        arrays["v"].read()


# ------------------------------------------------------------------ checksums


@pytest.mark.parametrize(
    ("data", "crc"), [(b"123456789", 0xE3069283), (b"\0" * 32, 0x8A9136AA), (b"", 0), (b"a", 0xC1D04330)]
)
def test_crc32c_is_the_published_one(data: bytes, crc: int) -> None:
    """Source: RFC 3720, B.4, and the check value of the CRC catalogue."""
    assert masked_crc32c(data) == ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


@given(st.binary(max_size=3000), st.integers(0, 3000))
@unhurried
def test_crc32c_of_parts_is_that_of_the_whole(data: bytes, cut: int) -> None:
    assert masked_crc32c(data[:cut], data[cut:]) == masked_crc32c(data)


def test_one_flipped_bit_in_the_values_is_noticed(tmp_path: Path) -> None:
    flipped = bytes([VALUES[0] ^ 4]) + VALUES[1:]
    write_bundle(tmp_path, [(b"a", tensor(VALUES, (2, 3)))], flipped)
    with pytest.raises(ContainerError, match=r"'a'.*checksum"):
        read_bundle(tmp_path, "x").arrays()["a"].read()


def test_one_flipped_bit_in_the_index_is_noticed(tmp_path: Path) -> None:
    write_bundle(tmp_path, [(b"a", tensor(VALUES, (2, 3)))], VALUES)
    content = bytearray((tmp_path / "x.index").read_bytes())
    content[12] ^= 1
    (tmp_path / "x.index").write_bytes(content)
    with pytest.raises(ContainerError, match="checksum"):
        read_bundle(tmp_path, "x")


# ------------------------------------------------------------------ an index that lies


def test_big_endian_values_come_out_right(tmp_path: Path) -> None:
    data = np.arange(6, dtype=">f4").tobytes()
    write_bundle(tmp_path, [(b"a", tensor(data, (2, 3)))], data, (b"", message((1, 1), (2, 1))))
    values = read_bundle(tmp_path, "x").arrays()["a"].read()
    np.testing.assert_array_equal(values, np.arange(6, dtype="float32").reshape(2, 3))
    assert values.dtype == np.dtype("float32")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (tensor(VALUES, (2, 10**6, 10**6), size=8 * 10**12), "at least 8000000000000 bytes"),
        (tensor(VALUES, (2, 3), offset=10**9), "at least 1000000024 bytes"),
        (tensor(VALUES, (2, 3), offset=2**64 - 1), "cut off, or the index lies"),
        (tensor(VALUES, (2, 3), shard=1), "expected 1 data files, found number 1"),
        (tensor(VALUES, (2**63, 3)), "negative size"),
        (tensor(VALUES, (1,) * 40), "too many dimensions"),
    ],
)
def test_an_entry_that_cannot_be_is_refused_before_anything_is_read(tmp_path: Path, entry: bytes, says: str) -> None:
    write_bundle(tmp_path, [(b"a", entry)], VALUES)
    with pytest.raises(ContainerError, match=says):
        read_bundle(tmp_path, "x")


@pytest.mark.parametrize(
    "entry",
    [
        tensor(VALUES, (2, 10**6, 10**6)),
        tensor(VALUES, (2, 2)),
        tensor(VALUES, (2, 3), dtype=2),
        tensor(VALUES, (2, 3), dtype=21),
    ],
)
def test_a_shape_or_type_that_does_not_fit_the_bytes_is_refused(tmp_path: Path, entry: bytes) -> None:
    write_bundle(tmp_path, [(b"a", entry)], VALUES)
    with pytest.raises(ContainerError, match="'a'"):
        read_bundle(tmp_path, "x").arrays()["a"].read()


def test_a_billion_data_files_are_not_looked_for(tmp_path: Path) -> None:
    write_bundle(tmp_path, [(b"a", tensor(VALUES, (2, 3)))], VALUES, (b"", message((1, 1 << 30))))
    with pytest.raises(ContainerError, match="of-1073741824"):
        read_bundle(tmp_path, "x")


def test_blocks_that_overlap_are_refused(tmp_path: Path) -> None:
    one = closed(block([HEADER, (b"a", tensor(VALUES, (2, 3)))]))
    (tmp_path / "x.index").write_bytes(table([one], [(0, len(one) - 5)] * 3))
    with pytest.raises(ContainerError, match="overlap"):
        read_bundle(tmp_path, "x")


def test_compressed_blocks_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.index").write_bytes(table([closed(block([HEADER]), compression=1)]))
    with pytest.raises(ContainerError, match="compressed"):
        read_bundle(tmp_path, "x")


def test_keys_that_grow_from_each_other_do_not_fill_the_memory(tmp_path: Path) -> None:
    content, grown = b"", b"k" * (tensor_bundle.MAX_KEY + 1)
    content = number(0) + number(len(grown)) + number(0) + grown
    (tmp_path / "x.index").write_bytes(table([closed(content + struct.pack("<II", 0, 1))]))
    with pytest.raises(UnsafeError, match="too long"):
        read_bundle(tmp_path, "x")
    half = b"k" * (tensor_bundle.MAX_KEY // 2)
    content = number(0) + number(len(half)) + number(0) + half
    content += b"".join(number(len(half)) + number(5) + number(0) + b"%05d" % at for at in range(10_000))
    (tmp_path / "x.index").write_bytes(table([closed(content + struct.pack("<II", 0, 1))]))
    with pytest.raises(UnsafeError, match="too many or too long keys"):
        read_bundle(tmp_path, "x")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (block([HEADER])[:-4] + struct.pack("<I", 1000), "restart points"),
        (number(5) + number(1) + number(0) + b"a" + struct.pack("<II", 0, 1), "beyond the end of its block"),
        (number(0) + number(1) + number(9) + b"a" + struct.pack("<II", 0, 1), "beyond the end of its block"),
    ],
)
def test_a_block_that_does_not_hold_what_it_says_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.index").write_bytes(table([closed(content)]))
    with pytest.raises(ContainerError, match=says):
        read_bundle(tmp_path, "x")


@pytest.mark.parametrize("place", [(10**6, 20), (0, 10**6), (0, 2), (2**63, 2**63)])
def test_a_block_beyond_the_file_is_refused(tmp_path: Path, place: tuple[int, int]) -> None:
    (tmp_path / "x.index").write_bytes(table([closed(block([HEADER]))], [place]))
    with pytest.raises(ContainerError, match="beyond the end of the file"):
        read_bundle(tmp_path, "x")


def write_graph(folder: Path, serialized: bytes, length: int | None = None, crc: int | None = None) -> None:
    length = len(serialized) if length is None else length
    packed = struct.pack("<I", length)
    data = number(length) + struct.pack("<I", masked_crc32c(packed)) + serialized
    good = masked_crc32c(packed, struct.pack("<I", masked_crc32c(packed)), serialized)
    key = tensor_bundle.OBJECT_GRAPH.encode()
    write_bundle(folder, [(key, tensor(data, (), dtype=7, crc=good if crc is None else crc))], data)


def test_the_object_graph_is_held_against_its_length_and_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_graph(tmp_path, b"graph")
    assert read_bundle(tmp_path, "x").object_graph() == b"graph"
    write_graph(tmp_path, b"graph", crc=1)
    with pytest.raises(ContainerError, match="checksum"):
        read_bundle(tmp_path, "x").object_graph()
    write_graph(tmp_path, b"graph", length=7)
    with pytest.raises(ContainerError, match="cut off"):
        read_bundle(tmp_path, "x").object_graph()
    monkeypatch.setattr(tensor_bundle, "MAX_GRAPH", 4)
    with pytest.raises(UnsafeError, match="too large"):
        read_bundle(tmp_path, "x").object_graph()


keys = st.text(min_size=1, max_size=20).map(str.encode).filter(lambda key: not key.startswith(b"\0"))


@given(st.dictionaries(keys, st.binary(max_size=40), max_size=20))
@fuzzed
def test_what_a_table_was_given_comes_out_again(tmp_path: Path, arrays: dict[bytes, bytes]) -> None:
    data, entries = b"", []
    for key, content in sorted(arrays.items()):
        entries.append((key, tensor(content, (len(content),), dtype=4, offset=len(data))))
        data += content
    write_bundle(tmp_path, entries, data)
    found = read_bundle(tmp_path, "x").arrays()
    assert {key.encode(): array.read().tobytes() for key, array in found.items()} == arrays


mutations = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8)


def mutate(content: bytes, changes: list[tuple[float, int]]) -> bytes:
    mutated = bytearray(content)
    for place, value in changes:
        mutated[int(place * len(mutated))] = value
    return bytes(mutated)


@given(mutations, st.booleans())
@fuzzed
def test_a_damaged_index_never_ends_in_anything_but_a_migration_error(
    tmp_path: Path, changes: list[tuple[float, int]], with_good_checksums: bool
) -> None:
    entries = [(b"layer/%d" % at, tensor(VALUES, (2, 3))) for at in range(5)]
    if with_good_checksums:
        content = table([closed(mutate(block([HEADER, *entries]), changes))])
    else:
        content = mutate(table([closed(block([HEADER, *entries]))]), changes)
    (tmp_path / "x.index").write_bytes(content)
    (tmp_path / "x.data-00000-of-00001").write_bytes(VALUES)
    try:
        for array in read_bundle(tmp_path, "x").arrays().values():
            assert array.read().nbytes <= 2 * len(VALUES)
    except MigrationError:
        pass


# ------------------------------------------------------------------ protocol buffers and the object graph


@given(st.binary(max_size=200))
@unhurried
def test_bytes_that_are_no_message_are_refused_and_nothing_else(content: bytes) -> None:
    try:
        list(fields(content))
        parse_object_graph(content)
    except MigrationError:
        pass


@pytest.mark.parametrize("content", [b"\x80" * 11, b"\x0a" + number(1 << 60) + b"x", b"\x0b", b"\x0d\0", b"\xff"])
def test_a_message_that_is_cut_off_is_refused(content: bytes) -> None:
    with pytest.raises(ContainerError):
        list(fields(content))


@given(st.integers(0, 2**64 - 1))
@unhurried
def test_integers_come_back(value: int) -> None:
    assert varint(memoryview(number(value) + b"x"), 0) == (value, len(number(value)))


def serialized(nodes: Sequence[dict[str, int]], *content: tuple[int, int | bytes]) -> bytes:
    """A message whose field 1 are nodes with these edges; `content` goes into each of them."""
    return message(
        *(
            (1, message(*((1, message((1, to), (2, edge.encode()))) for edge, to in one.items()), *content))
            for one in nodes
        )
    )


def graph(*nodes: dict[str, int] | str) -> ObjectGraph:
    """A graph of nodes, each given by its edges, or as a variable by its key."""
    return parse_object_graph(
        message(
            *(
                (1, message((2, message((1, b"VARIABLE_VALUE"), (2, b"name"), (3, node.encode())))))
                if isinstance(node, str)
                else (1, message(*((1, message((1, to), (2, edge.encode()))) for edge, to in node.items())))
                for node in nodes
            )
        )
    )


def node(*nodes: dict[str, int] | str) -> GraphNode:
    arrays = {key: tensor_bundle.StoredArray(key, (), "float32", lambda: np.zeros(())) for key in "abc"}
    return GraphNode(0, graph(*nodes), arrays)


def test_a_variable_is_an_array_of_each_place_with_an_edge_to_it() -> None:
    root = node({"dense": 1, "copy": 1, "lost": 3}, {"kernel": 2, "alias": 2, "self": 1}, "a", "no such key")
    dense = root.child("dense")
    assert dense is not None
    assert (list(root.names()), dict(root.arrays())) == (["dense", "copy"], {})
    assert {name: array.name for name, array in dense.arrays().items()} == {"kernel": "a", "alias": "a"}
    assert dense == root.child("copy") == dense.child("self") != root
    assert dense.child("kernel") is None
    assert root.child("nothing") is None


def test_a_cycle_without_a_model_comes_to_an_end() -> None:
    assert models_below(node({"x": 0, "y": 1}, {"back": 0, "self": 1})) == []


def test_the_model_is_found_below_any_edge_and_not_within_itself() -> None:
    root = node({"step": 4, "net": 1, "again": 1}, {"layer-0": 2, "root": 0}, {"layer-0": 3}, {}, "a")
    assert [path for path, _ in models_below(root)] == [("net",)]


def test_a_model_is_not_looked_for_at_any_depth() -> None:
    chain = [{"x": at + 1} for at in range(object_graph.MAX_DEPTH)]
    assert models_below(node(*chain, {"layer-0": 0})) == []
    assert len(models_below(node(*chain[:-1], {"layer-0": 0}))) == 1


@pytest.mark.parametrize(("bound", "says"), [("MAX_NODES", "too many nodes"), ("MAX_EDGES", "too many edges")])
def test_a_graph_beyond_the_bounds_is_refused(monkeypatch: pytest.MonkeyPatch, bound: str, says: str) -> None:
    monkeypatch.setattr(object_graph, bound, 2)
    with pytest.raises(UnsafeError, match=says):
        graph({"a": 1, "b": 1}, {"a": 0}, {})


def test_an_edge_whose_name_is_no_text_is_refused() -> None:
    with pytest.raises(ContainerError, match="UTF-8"):
        parse_object_graph(message((1, message((1, message((1, 0), (2, b"\xff")))))))


def test_an_edge_to_a_node_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ContainerError, match="does not exist"):
        graph({"x": 1})


def test_layers_are_aligned_by_position_in_a_functional_model() -> None:
    root = node({"layer-0": 1, "layer_with_weights-0": 2, "layer-1": 2}, {}, {"kernel": 3}, "a")
    children = model_children(root, ["input", "dense"], sequential=False)
    assert {name: list(child.arrays()) for name, child in children.items()} == {"input": [], "dense": ["kernel"]}
    for graph_of_another in (root, node({"layer-0": 1, "layer-1": 1, "layer-3": 1}, {})):
        with pytest.raises(NamingError, match="number of layers"):
            model_children(graph_of_another, ["input", "dense", "other"], sequential=False)
    with pytest.raises(NamingError, match="number of layers"):
        model_children(node({"layer-0": 1, "layer-7": 1}, {}), ["input"], sequential=False)


@pytest.mark.parametrize(
    ("edges", "names", "expected"),
    [
        ({"layer-0": 1}, ["input", "dense"], ["dense"]),
        ({"layer-0": 2, "layer-1": 1}, ["dense"], ["dense"]),
        ({"layer-0": 2, "layer-1": 1}, ["input", "dense"], ["input", "dense"]),
    ],
)
def test_a_sequential_is_aligned_from_its_end(edges: dict[str, int], names: list[str], expected: list[str]) -> None:
    children = model_children(node(edges, {"kernel": 3}, {}, "a"), names, sequential=True)
    assert list(children) == expected
    assert list(children["dense"].arrays()) == ["kernel"]


def test_a_sequential_never_drops_a_layer_that_has_arrays() -> None:
    with pytest.raises(NamingError):
        model_children(node({"layer-0": 1, "layer-1": 1}, {"kernel": 2}, "a"), ["dense"], sequential=True)


# ------------------------------------------------------------------ checkpoints


def architecture(case: str) -> dict[str, object]:
    parsed: dict[str, object] = json.loads((FIXTURES / case / "model.json").read_text())
    return parsed


@pytest.mark.parametrize("name", ["old.index", "old", "old.data-00001-of-00002", ""])
def test_a_checkpoint_may_be_named_by_folder_prefix_index_or_data_file(name: str) -> None:
    path = FIXTURES / "checkpoint-tf1-301" / name
    assert tf_checkpoint.matches(path)
    checkpoint = tf_checkpoint.read(path, architecture("checkpoint-tf1-301"))
    assert (checkpoint.layout, len(checkpoint.arrays), checkpoint.origin.keras_version) == ("graph", 30, "2.2.4-tf")
    tcn = checkpoint.root.child("layer-1")
    assert tcn is not None
    first = tcn.child("main_conv1D")
    assert first is not None
    assert {name: array.shape for name, array in first.arrays().items()} == {"kernel": (1, 3, 4), "bias": (4,)}


def test_the_model_of_a_checkpoint_manager_is_found() -> None:
    checkpoint = tf_checkpoint.read(FIXTURES / "checkpoint-manager-344", architecture("checkpoint-manager-344"))
    assert checkpoint.root.child("layer-0") is not None
    assert any("OPTIMIZER_SLOT" in key for key in checkpoint.arrays)


def test_a_checkpoint_of_the_saver_is_a_tree_of_names() -> None:
    name = "saver-checkpoint-by-names-312"
    checkpoint = tf_checkpoint.read(FIXTURES / name / "old.index", architecture(name))
    dense = checkpoint.root.child("dense")
    assert checkpoint.layout == "saver"
    assert dense is not None
    assert sorted(dense.arrays()) == ["bias", "kernel"]


def test_without_architecture_a_checkpoint_says_what_to_give() -> None:
    with pytest.raises(ArchitectureNeeded, match="--architecture"):
        tf_checkpoint.read(FIXTURES / "checkpoint-tf1-301")


@pytest.mark.parametrize(
    ("state", "error", "says"),
    [
        ('model_checkpoint_path: "../secret/secret"', UnsafeError, "outside"),
        ('model_checkpoint_path: "a/../../secret"', UnsafeError, "outside"),
        (r'model_checkpoint_path: "\056\056/secret"', UnsafeError, "outside"),
        ('model_checkpoint_path: "new"', ContainerError, "'old.index'"),
        ("nothing", ContainerError, "names no checkpoint"),
    ],
)
def test_a_checkpoint_file_that_points_elsewhere_is_refused(
    tmp_path: Path, state: str, error: type[MigrationError], says: str
) -> None:
    folder = shutil.copytree(FIXTURES / "checkpoint-tf1-301", tmp_path / "copy")
    (folder / "checkpoint").write_text(state)
    with pytest.raises(error, match=says):
        tf_checkpoint.read(folder, architecture("checkpoint-tf1-301"))


@pytest.mark.parametrize(
    "state", ['model_checkpoint_path: "/home/me/run/old"', r'model_checkpoint_path: "C:\\run\\old"', None]
)
def test_a_folder_that_has_moved_is_read_where_it_is_now(tmp_path: Path, state: str | None) -> None:
    folder = shutil.copytree(FIXTURES / "checkpoint-tf1-301", tmp_path / "copy")
    (folder / "checkpoint").unlink()
    if state is not None:
        (folder / "checkpoint").write_text(state)
    assert tf_checkpoint.read(folder, architecture("checkpoint-tf1-301")).layout == "graph"


def test_of_two_models_in_a_checkpoint_the_one_with_the_architectures_layers_is_taken(tmp_path: Path) -> None:
    config = {"class_name": "Functional", "config": {"layers": [{"name": "a"}, {"name": "b"}]}}
    nodes = ({"one": 1, "two": 2}, {"layer-0": 3}, {"layer-0": 3, "layer-1": 3}, {})
    for fitting, graph_nodes in ((1, nodes), (2, ({"one": 2, "two": 4}, *nodes[1:], {"layer-0": 3, "layer-1": 3}))):
        write_graph(tmp_path, serialized(graph_nodes))
        if fitting == 1:
            assert list(tf_checkpoint.read(tmp_path, config).root.names()) == ["layer-0", "layer-1"]
        else:
            with pytest.raises(ContainerError, match="2 models, and 2 of them fit"):
                tf_checkpoint.read(tmp_path, config)


# ------------------------------------------------------------------ SavedModels


def copy(tmp_path: Path, case: str) -> Path:
    return Path(shutil.copytree(FIXTURES / case / "old", tmp_path / "copy"))


@pytest.mark.parametrize(
    ("case", "version", "layer"),
    [("savedmodel-same-last-step-291", "2.4.0", "InputLayer"), ("savedmodel-tf26-340", "2.6.0", "InputLayer")],
)
def test_a_savedmodel_has_its_config_with_plain_lists(case: str, version: str, layer: str) -> None:
    path = FIXTURES / case / "old"
    checkpoint = saved_model.read(path)
    assert saved_model.matches(path)
    assert (checkpoint.layout, checkpoint.origin.keras_version) == ("graph", version)
    assert checkpoint.config["config"]["layers"][0]["class_name"] == layer
    assert "__tuple__" not in json.dumps(checkpoint.config)
    names = [entry["name"] for entry in checkpoint.config["config"]["layers"]]
    children = model_children(checkpoint.root, names, sequential=False)  # type: ignore[arg-type]
    assert children["dense"].arrays()["kernel"].read().ndim == 2


def test_a_savedmodel_tells_what_the_last_steps_lambda_closed_over() -> None:
    hints = saved_model.read(FIXTURES / "savedmodel-same-last-step-291" / "old").hints
    assert hints == {"last_step_closures": {("tcn",): None}}
    assert saved_model.read(FIXTURES / "savedmodel-tf26-340" / "old").hints == {"last_step_closures": {}}


def test_the_address_of_a_closure_goes_through_nested_models_and_wrappers() -> None:
    def stored(**metadata: object) -> saved_model.KerasObject:
        return saved_model.KerasObject("_tf_keras_layer", memoryview(json.dumps(metadata).encode()))

    function = {"class_name": "__tuple__", "items": ["4wEAAA", None, {"class_name": "__tuple__", "items": [7]}]}
    last = stored(class_name="Lambda", config={"function": function})
    objects = {
        ("layer-1",): stored(name="inner"),
        ("layer-1", "layer_with_weights-0"): stored(name="tcn"),
        ("layer-1", "layer_with_weights-0", "lambda_layer"): last,
        ("layer-2",): stored(name="per_step"),
        ("layer-2", "layer", "lambda_layer"): last,
        ("layer-3", "other"): last,
        ("layer-4", "lambda_layer"): stored(class_name="Activation", config={"function": function}),
    }
    assert saved_model._last_step_closures(objects) == {("inner", "tcn"): [7], ("per_step", "layer"): [7]}


def test_without_its_metadata_a_savedmodel_asks_for_the_architecture_and_takes_it(tmp_path: Path) -> None:
    folder = copy(tmp_path, "savedmodel-tf26-340")
    config = saved_model.read(folder).config
    (folder / "keras_metadata.pb").unlink()
    with pytest.raises(ArchitectureNeeded, match="--architecture"):
        saved_model.read(folder)
    assert saved_model.read(folder, config).config == config


def test_the_config_of_an_exported_savedmodel_of_tensorflow_1_is_found(tmp_path: Path) -> None:
    folder = copy(tmp_path, "savedmodel-tf26-340")
    config = saved_model.read(folder).config
    (folder / "keras_metadata.pb").unlink()
    (folder / "assets").mkdir()
    (folder / "assets" / "saved_model.json").write_text(json.dumps(config))
    assert saved_model.read(folder).config == config


@pytest.mark.parametrize("name", ["variables/variables.index", "variables/variables.data-00000-of-00001"])
def test_a_savedmodel_without_its_variables_says_so(tmp_path: Path, name: str) -> None:
    folder = copy(tmp_path, "savedmodel-tf26-340")
    (folder / name).unlink()
    with pytest.raises(ContainerError, match=f"{name}.*missing"):
        saved_model.read(folder)


@pytest.mark.parametrize(
    "name", ["variables", "variables/variables.index", "variables/variables.data-00000-of-00001", "keras_metadata.pb"]
)
def test_a_link_out_of_a_savedmodel_is_not_followed(tmp_path: Path, name: str) -> None:
    folder = copy(tmp_path, "savedmodel-tf26-340")
    (folder / name).rename(tmp_path / "secret")
    (folder / name).symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafeError, match="outside"):
        saved_model.read(folder)


def test_a_link_to_a_savedmodel_and_links_within_are_followed(tmp_path: Path) -> None:
    folder = copy(tmp_path, "savedmodel-tf26-340")
    (folder / "keras_metadata.pb").rename(folder / "stored")
    (folder / "keras_metadata.pb").symlink_to("stored")
    (tmp_path / "link").symlink_to(folder)
    assert saved_model.read(tmp_path / "link").layout == "graph"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    folder = copy(tmp_path, "savedmodel-tf26-340")
    (folder / "keras_metadata.pb").unlink()
    os.mkfifo(folder / "keras_metadata.pb")
    with pytest.raises(UnsafeError, match="regular file"):
        saved_model.read(folder)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"class_name": "MyModel", "config": {"layer was saved without config": True}}, "'MyModel', a subclass"),
        ({"class_name": "MyModel", "model_config": {"class_name": "MyModel", "config": {}}}, "'MyModel', a subclass"),
        ({"class_name": "Functional"}, "no config"),
        ({"model_config": 3}, "no config"),
        ([], "no JSON object"),
    ],
)
def test_a_savedmodel_whose_metadata_describe_no_graph_is_refused(tmp_path: Path, metadata: object, says: str) -> None:
    folder = copy(tmp_path, "savedmodel-tf26-340")
    stored = message((3, b"root"), (4, b"_tf_keras_model"), (5, json.dumps(metadata).encode()))
    (folder / "keras_metadata.pb").write_bytes(message((1, stored)))
    with pytest.raises(ContainerError, match=says):
        saved_model.read(folder)


def test_of_several_models_in_a_savedmodel_none_is_guessed(tmp_path: Path) -> None:
    folder = copy(tmp_path, "savedmodel-tf26-340")
    stored = [message((3, path), (4, b"_tf_keras_network"), (5, b"{}")) for path in (b"root.a", b"root.b", b"root.b.c")]
    (folder / "keras_metadata.pb").write_bytes(message(*((1, one) for one in stored)))
    with pytest.raises(ContainerError, match="several models; expected one, found 'a', 'b'"):
        saved_model.read(folder)


def test_a_savedmodels_graph_with_many_cycles_is_walked_once(tmp_path: Path) -> None:
    folder = copy(tmp_path, "savedmodel-same-last-step-291")
    keras = (4, message((1, b"_tf_keras_network"), (3, b"{}")))
    nodes = serialized([{f"edge{edge}": to for edge in range(8) for to in (0, 1)} for _ in range(2)], keras)
    (folder / "saved_model.pb").write_bytes(message((2, message((7, nodes)))))
    start = time.monotonic()
    with pytest.raises(ContainerError, match="no config"):
        saved_model.read(folder)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("bound", "value", "says"), [("MAX_METADATA", 1000, "too large"), ("MAX_OBJECTS", 3, "too many layers")]
)
def test_metadata_beyond_the_bounds_are_refused(
    monkeypatch: pytest.MonkeyPatch, bound: str, value: int, says: str
) -> None:
    monkeypatch.setattr(saved_model, bound, value)
    with pytest.raises(UnsafeError, match=says):
        saved_model.read(FIXTURES / "savedmodel-tf26-340" / "old")


@pytest.mark.parametrize("case", ["savedmodel-same-last-step-291", "savedmodel-tf26-340"])
@given(changes=mutations, cut=st.floats(0.5, 1.5))
@fuzzed
def test_a_damaged_savedmodel_never_ends_in_anything_but_a_migration_error(
    tmp_path: Path, case: str, changes: list[tuple[float, int]], cut: float
) -> None:
    folder = tmp_path / case
    if not folder.exists():
        shutil.copytree(FIXTURES / case / "old", folder)
    name = "keras_metadata.pb" if case == "savedmodel-tf26-340" else "saved_model.pb"
    content = mutate((FIXTURES / case / "old" / name).read_bytes(), changes)
    (folder / name).write_bytes(content[: int(cut * len(content))])
    start = time.monotonic()
    with contextlib.suppress(MigrationError):
        saved_model.read(folder)
    assert time.monotonic() - start < 10
