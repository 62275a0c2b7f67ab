"""Preprocessing of numbers and texts.

Source: keras/src/layers/preprocessing (2.15); texts are hashed by TensorFlow's `string_to_hash_bucket_fast`
(FarmHash's Fingerprint64) and `_strong` (SipHash-2-4).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.evaluation.table import Arguments, Layer, computes, elementary
from tcn_migrate.evaluation.tensors import Tensor, floating

_WORD = (1 << 64) - 1


@computes("Rescaling")
def rescaling(layer: Layer, arguments: Arguments) -> Tensor:
    """It ends masks in Keras 2 and passes them in Keras 3."""
    x = arguments.tensor(layer)
    y = layer.rounded(floating(x.values) * floating(layer.get("scale", 1.0))) + floating(layer.get("offset", 0.0))
    return Tensor(y, None if layer.keras_2 else x.mask)


@elementary("Discretization")
def discretization(layer: Layer, x: Array) -> Array:
    """How many boundaries lie at or below each number. Boundaries are float32."""
    boundaries = layer.config.get("bin_boundaries") or layer.config.get("bins")
    if not isinstance(boundaries, list):
        raise layer.unproven("its boundaries are not in the config")
    limits = np.asarray(boundaries, np.float32).astype(np.float64)
    buckets = np.searchsorted(limits, floating(x), side="right").astype(np.int64)
    return encoded(layer, buckets, len(limits) + 1, str(layer.get("output_mode", "int")))


@computes("CategoryEncoding")
def category_encoding(layer: Layer, arguments: Arguments) -> Tensor:
    x = arguments.tensor(layer).values
    weights = arguments.kwargs.get("count_weights")
    mode = str(layer.get("output_mode", "multi_hot"))
    depth = layer.config.get("num_tokens") or layer.config.get("max_tokens")
    if depth is None or (mode == "count" and weights is not None and not isinstance(weights, Tensor)):
        raise layer.unproven("its number of tokens is not in the config")
    return Tensor(encoded(layer, x.astype(np.int64), int(depth), mode, None if weights is None else weights.values))


def encoded(layer: Layer, x: Array, depth: int, mode: str, weights: Array | None = None) -> Array:
    """Whole numbers as an output mode of Keras: "int", "one_hot", "multi_hot" (once "binary") or "count".

    Source: `encode_categorical_inputs` in preprocessing/preprocessing_utils.py (2.15).
    """
    if mode == "int":
        return x
    if mode == "one_hot":
        x = x[..., None] if x.ndim == 0 or x.shape[-1] != 1 else x
        x = x[..., 0]
        return np.asarray((x[..., None] == np.arange(depth)).astype(np.float64))
    if mode not in ("multi_hot", "binary", "count"):
        raise layer.unproven(f"its output mode {mode!r} is not known")
    if x.ndim > 2 and layer.keras_2:
        raise layer.unproven("it counts along more than one axis")
    rows = x if x.ndim > 1 else x[:, None]
    hits = (rows[..., None] == np.arange(depth)).astype(np.float64)
    if mode == "count":
        return np.asarray((hits if weights is None else hits * weights[..., None]).sum(axis=-2))
    return np.asarray(hits.max(axis=-2))


# ---- hashes


def _rotated(value: int, by: int) -> int:
    return ((value >> by) | (value << (64 - by))) & _WORD


def _mixed(u: int, v: int, mul: int) -> int:
    a = ((u ^ v) * mul) & _WORD
    a ^= a >> 47
    b = ((v ^ a) * mul) & _WORD
    b ^= b >> 47
    return (b * mul) & _WORD


_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def fingerprint(text: bytes) -> int:
    """FarmHash's Fingerprint64 of at most 64 bytes (Geoff Pike, farmhash 1.1, `farmhashna::Hash64`)."""
    size = len(text)

    def at(place: int, width: int = 8) -> int:
        return int.from_bytes(text[place : place + width], "little")

    if size > 64:
        raise ValueError("texts of more than 64 bytes are not hashed here")
    mul = (_K2 + size * 2) & _WORD
    if size == 0:
        return _K2
    if size < 4:
        y = text[0] + (text[size >> 1] << 8)
        z = size + (text[-1] << 2)
        value = ((y * _K2) & _WORD) ^ ((z * _K0) & _WORD)
        return ((value ^ (value >> 47)) * _K2) & _WORD
    if size < 8:
        return _mixed(size + (at(0, 4) << 3), at(size - 4, 4), mul)
    if size <= 16:
        a, b = (at(0) + _K2) & _WORD, at(size - 8)
        c, d = (_rotated(b, 37) * mul + a) & _WORD, ((_rotated(a, 25) + b) * mul) & _WORD
        return _mixed(c, d, mul)
    first = _K1 if size <= 32 else _K2
    a, b = (at(0) * first) & _WORD, at(8)
    c, d = (at(size - 8) * mul) & _WORD, (at(size - 16) * _K2) & _WORD
    y = (_rotated((a + b) & _WORD, 43) + _rotated(c, 30) + d) & _WORD
    z = _mixed(y, (a + _rotated((b + _K2) & _WORD, 18) + c) & _WORD, mul)
    if size <= 32:
        return z
    e, f = (at(16) * mul) & _WORD, at(24)
    g, h = ((y + at(size - 32)) * mul) & _WORD, ((z + at(size - 24)) * mul) & _WORD
    u = (_rotated((e + f) & _WORD, 43) + _rotated(g, 30) + h) & _WORD
    return _mixed(u, (e + _rotated((f + a) & _WORD, 18) + g) & _WORD, mul)


def keyed_fingerprint(text: bytes, key: Sequence[int]) -> int:
    """SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012)."""
    v = [
        key[0] ^ 0x736F6D6570736575,
        key[1] ^ 0x646F72616E646F6D,
        key[0] ^ 0x6C7967656E657261,
        key[1] ^ 0x7465646279746573,
    ]

    def left(value: int, by: int) -> int:
        return ((value << by) | (value >> (64 - by))) & _WORD

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0] = (v[0] + v[1]) & _WORD
            v[2] = (v[2] + v[3]) & _WORD
            v[1], v[3] = left(v[1], 13) ^ v[0], left(v[3], 16) ^ v[2]
            v[0] = left(v[0], 32)
            v[2] = (v[2] + v[1]) & _WORD
            v[0] = (v[0] + v[3]) & _WORD
            v[1], v[3] = left(v[1], 17) ^ v[2], left(v[3], 21) ^ v[0]
            v[2] = left(v[2], 32)

    padded = text + bytes(-(len(text) + 1) % 8) + bytes([len(text) & 255])
    for place in range(0, len(padded), 8):
        word = int.from_bytes(padded[place : place + 8], "little")
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 255
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def as_text(value: Any) -> bytes:
    """A number or text as TensorFlow's `as_string` writes it."""
    if isinstance(value, bytes):
        return value
    return str(value if isinstance(value, str) else int(value)).encode()


@elementary("Hashing")
def hashing(layer: Layer, x: Array) -> Array:
    """Numbers are hashed as texts; with a mask value, bin 0 is for that alone.

    TensorFlow 2.3 and 2.4 store a constant for a salt that they do not use.
    """
    salt = layer.config.get("salt")
    salt = [salt, salt] if isinstance(salt, int) else salt
    if salt == [0xDECAFCAFFE, 0xDECAFCAFFE] and layer.keras_2 and not layer.at_least(2, 5):
        salt = None
    bins, masked = int(layer.config["num_bins"]), layer.config.get("mask_value")
    bins -= masked is not None

    def one(value: Any) -> int:
        if masked is not None and as_text(value) == as_text(masked):
            return 0
        text = as_text(value)
        number = fingerprint(text) if not salt else keyed_fingerprint(text, [int(part) & _WORD for part in salt])
        return number % bins + (masked is not None)

    if x.dtype.kind == "f" and not np.array_equal(x, np.trunc(x)):
        raise layer.unproven("it hashes numbers that are not whole")
    hashed = np.vectorize(one, otypes=[np.int64])(x) if x.size else x.astype(np.int64)
    mode = str(layer.get("output_mode", "int"))
    return encoded(layer, np.asarray(hashed), int(layer.config["num_bins"]), mode)


# ---- lookups and texts


def _looked_up(layer: Layer, x: Array, words: list[Any], read: Callable[[Any], Any]) -> Array:
    """Numbers of words: mask token, out-of-vocabulary ones, then the vocabulary."""
    if layer.config.get("invert"):
        raise layer.unproven("it looks up words by their numbers")
    mask, unknown = layer.config.get("mask_token"), int(layer.get("num_oov_indices", 1))
    if unknown > 1:
        raise layer.unproven("it hashes words that are not in its vocabulary")
    mode = str(layer.get("output_mode", "int"))
    first = int(mask is not None and mode == "int")
    special = {read(mask)} if mask is not None else set()
    oov = layer.config.get("oov_token")
    special |= {read(oov)} if oov is not None else set()
    known = [read(word) for word in words]
    while known and known[0] in special | {read("")} and known[0] not in known[1:]:  # some releases store them in front
        known = known[1:]
    number = {word: first + unknown + place for place, word in enumerate(known)}

    def one(value: Any) -> int:
        word = read(value)
        if mask is not None and word == read(mask) and mode == "int":
            return 0
        found = number.get(word, first if unknown else None)
        if found is None:
            raise layer.unproven("a word is not in its vocabulary")
        return found

    found = np.vectorize(one, otypes=[np.int64])(x) if x.size else x.astype(np.int64)
    return encoded(layer, np.asarray(found), len(known) + unknown + first, mode)


@elementary("IntegerLookup")
def integer_lookup(layer: Layer, x: Array) -> Array:
    words = layer.config.get("vocabulary")
    if not isinstance(words, list):
        raise layer.unproven("its vocabulary is not in the config")
    return _looked_up(layer, x, words, lambda word: int(word) if word not in ("", None) else None)


def _text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


@elementary("StringLookup")
def string_lookup(layer: Layer, x: Array) -> Array:
    words = layer.config.get("vocabulary")
    if not isinstance(words, list):
        raise layer.unproven("its vocabulary is not in the config")
    return _looked_up(layer, x, words, _text)


_PUNCTUATION = re.compile(r'[!"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']')


@elementary("TextVectorization")
def text_vectorization(layer: Layer, x: Array) -> Array:
    words = layer.config.get("vocabulary")
    if not isinstance(words, list):
        raise layer.unproven("its vocabulary is not in the config")
    if layer.config.get("ngrams") or layer.get("output_mode", "int") != "int" or layer.config.get("ragged"):
        raise layer.unproven("it counts words, or pairs of them")
    if layer.get("split", "whitespace") not in ("whitespace", None):
        raise layer.unproven("it splits texts in a way that is not known")
    lines = x[..., 0] if x.ndim > 1 and x.shape[-1] == 1 else x
    known = [_text(word) for word in words]
    known = [word for word in known if word not in ("", "[UNK]")]
    number = {word: place + 2 for place, word in enumerate(known)}
    rows = []
    for line in np.ravel(lines):
        text = _text(line)
        standard = layer.get("standardize", "lower_and_strip_punctuation")
        if standard in ("lower_and_strip_punctuation", "lower"):
            text = text.lower()
        if standard in ("lower_and_strip_punctuation", "strip_punctuation"):
            text = _PUNCTUATION.sub("", text)
        parts = text.split() if layer.get("split", "whitespace") else [text]
        rows.append([number.get(word, 1) for word in parts])
    length = layer.config.get("output_sequence_length") or max(map(len, rows), default=0)
    table = np.zeros((len(rows), int(length)), np.int64)
    for row, found in zip(table, rows, strict=True):
        row[: min(len(found), len(row))] = found[: len(row)]
    return table
