"""What a container hands on: the model's own config and its arrays by stored name, nothing read yet."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from tcn_migrate.errors import ContainerError, quoted

Json = dict[str, Any]

Array = np.ndarray[Any, Any]

Layout = Literal["store", "names", "saver", "graph"]
"""How arrays are named. `store`: Keras's own weight store (`layers/dense/vars/0`). `names`: HDF5 groups by layer name,
then variable names (`dense/dense/kernel:0`). `saver`: variable names alone (TensorFlow 1's Saver). `graph`: edges of
TensorFlow's object graph; the stored keys are no paths."""


@dataclass(frozen=True)
class KerasVersion:
    """The release of Keras that wrote a file.

    Attributes:
        release: major and minor version; the major version alone if the file does not say more.
        of_tensorflow: it is marked as that of `tf.keras`, as up to Keras 2.4 ("2.2.4-tf"). Up to 2.3 there was also a
            Keras without TensorFlow's name, which computes some layers otherwise.
    """

    release: tuple[int, ...]
    of_tensorflow: bool = False

    @classmethod
    def parse(cls, text: str | None) -> KerasVersion | None:
        """The version of "2.2.4-tf" or "3"; None if the text is none."""
        found = re.match(r"(\d{1,4})(?:\.(\d{1,4}))?", text or "")
        if found is None:
            return None
        return cls(tuple(int(number) for number in found.groups() if number is not None), "-tf" in (text or ""))

    @property
    def major(self) -> int:
        return self.release[0]

    def before(self, major: int, minor: int) -> bool:
        """Whether it is known to be older than a release."""
        return len(self.release) == 2 and self.release < (major, minor)

    @property
    def without_tensorflow(self) -> bool:
        """Whether it is known to be Keras 2 without TensorFlow's name: keras 2.0 to 2.3."""
        return self.major == 2 and self.before(2, 4) and not self.of_tensorflow


Box = tuple[int, ...]
"""An index where a box of values begins in an array, or the shape of the box."""


@dataclass(frozen=True)
class StoredArray:
    """One array of a checkpoint, known by its header; `read` fetches the values.

    Attributes:
        name: the stored name, unique in its checkpoint.
        shape: as declared in the file.
        dtype: a NumPy dtype's name, or "bfloat16".
        read: returns the values as a NumPy array of `shape` (bfloat16: as float32, exactly); raises
            `ContainerError` if the file cannot be trusted for it.
        stored_bytes: how many bytes the file really spends on it.
        flaw: why the values cannot be trusted (a link out of the file, never written, an odd filter), or None. An
            array that nobody needs may have a flaw; one that is claimed may not.
        part: returns the values of a box, given where it begins and its shape, with the errors of `read`; None
            unless the array lies in the file in one piece and unpacked.
        proved_by_reading: nothing but `read` tells whether the values are whole: they are packed, or the file has space
            for them that was never written.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Array] = field(repr=False, compare=False)
    stored_bytes: int = 0
    flaw: str | None = None
    part: Callable[[Box, Box], Array] | None = field(default=None, repr=False, compare=False)
    proved_by_reading: bool = field(default=False, compare=False)


def is_floating(array: StoredArray) -> bool:
    """Whether an array holds what Keras keeps weights in."""
    return array.dtype in ("float16", "float32", "float64", "bfloat16")


class Node(Protocol):
    """A place in the tree (or graph) of a checkpoint's arrays."""

    def child(self, name: str) -> Node | None:
        """The place under the edge `name`, if there is one."""

    def names(self) -> Iterator[str]:
        """The edges that lead on from here."""

    def arrays(self) -> Mapping[str, StoredArray]:
        """The arrays that lie directly here, by their last name."""


@dataclass(frozen=True)
class PathNode:
    """A Node of arrays whose names are paths."""

    branches: dict[str, PathNode] = field(default_factory=dict)
    leaves: dict[str, StoredArray] = field(default_factory=dict)

    def child(self, name: str) -> PathNode | None:
        return self.branches.get(name)

    def names(self) -> Iterator[str]:
        return iter(self.branches)

    def arrays(self) -> Mapping[str, StoredArray]:
        return self.leaves


def tree_of(paths: Mapping[tuple[str, ...], StoredArray]) -> PathNode:
    """The tree of arrays named by paths: all components but the last are branches."""
    root = PathNode()
    for path, array in paths.items():
        node = root
        for part in path[:-1]:
            node = node.branches.setdefault(part, PathNode())
        node.leaves[path[-1]] = array
    return root


_COMPARING = threading.Lock()


@dataclass(frozen=True)
class Content:
    """All bytes that a checkpoint is made of.

    Attributes:
        files: that are read, in order of name.
        compare_checksum: compares the checksum that a container has of all its weights, and raises `ContainerError` if
            it does not agree; None where there is none, or where reading compares it.
    """

    files: tuple[Path, ...]
    compare_checksum: Callable[[], None] | None = field(default=None, repr=False, compare=False)

    @cached_property
    def sha256(self) -> str:
        """The hash over the bytes of the files, in this order; they are read for it when it is first asked for.

        Raises:
            ContainerError: one of them is no longer there.
        """
        import hashlib  # loads a library that nothing else here needs

        digest = hashlib.sha256()
        for path in self.files:
            with _still_there(path), path.open("rb", buffering=0) as file:
                hashlib.file_digest(file, lambda: digest)
        return digest.hexdigest()

    def compare(self) -> None:
        """Compares the checksum, if there is one; once, if it agrees.

        Raises:
            ContainerError: it does not, or the file is no longer there.
        """
        with _COMPARING:  # one thread reads, and another that asks meanwhile waits
            return self._compared

    @cached_property
    def _compared(self) -> None:
        if self.compare_checksum is not None:
            with _still_there(self.files[0]):
                self.compare_checksum()


@contextlib.contextmanager
def _still_there(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ContainerError(f"can no longer be read ({error.strerror})", address=quoted(path.name)) from None


@dataclass(frozen=True)
class Origin:
    """Where a checkpoint came from.

    Attributes:
        path: as the user gave it.
        container: "keras zip", "hdf5 model", "hdf5 weights", "store weights", "savedmodel", "tf checkpoint",
            "tensorflow.js".
        keras_version: as the file says it, or None.
        content: its bytes.
        backend: as the file says it, or None.
    """

    path: str
    container: str
    keras_version: str | None
    content: Content
    backend: str | None = None

    @property
    def sha256(self) -> str:
        """The SHA-256 of its bytes.

        Raises:
            ContainerError: they are damaged, or no longer there.
        """
        self.content.compare()
        return self.content.sha256


@dataclass(frozen=True)
class Checkpoint:
    """Everything a container holds that a migration may use.

    Attributes:
        config: the model's config as stored, `{"class_name": ..., "config": ...}`.
        arrays: every array by its stored name.
        layout: how those names are to be read.
        root: the arrays as a tree or graph; for `names` the first level are the layers' groups.
        origin: which file this was.
        training: the stored compile config, or None.
        hints: what else the container knows that the config does not, such as a SavedModel's function metadata.
    """

    config: Json
    arrays: Mapping[str, StoredArray]
    layout: Layout
    root: Node
    origin: Origin
    training: Json | None = None
    hints: Mapping[str, Any] = field(default_factory=dict)
