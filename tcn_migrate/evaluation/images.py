"""Images: resizing and cropping, and layers that change images at random only while they train.

Source: `tf.image.resize` (core/kernels/image of TensorFlow: half-pixel centers, edges renormalized or clamped), and
keras/src/layers/preprocessing/image_preprocessing.py (2.15), keras/src/utils/image_utils.py `smart_resize`.
"""

from __future__ import annotations

import numpy as np

from tcn_migrate.checkpoint import Array
from tcn_migrate.evaluation.table import Arguments, Layer, computes, elementary
from tcn_migrate.evaluation.tensors import Tensor, floating


def _linear(size: int, wanted: int) -> Array:
    """A matrix (wanted, size) of linear interpolation between the two nearest pixels."""
    places = np.maximum((np.arange(wanted) + 0.5) * size / wanted - 0.5, 0)
    low = np.minimum(np.floor(places).astype(int), size - 1)
    high = np.minimum(low + 1, size - 1)
    matrix = np.zeros((wanted, size))
    np.add.at(matrix, (np.arange(wanted), low), 1 - (places - np.floor(places)))
    np.add.at(matrix, (np.arange(wanted), high), places - np.floor(places))
    return matrix


def _cubic(size: int, wanted: int) -> Array:
    """Keys's cubic kernel with a = -0.5; pixels outside do not count, and the others' weights are scaled to sum to 1.

    The weights are those of a table of 1024 places between two pixels (core/kernels/image/resize_bicubic_op.cc).
    """
    places = (np.arange(wanted) + 0.5) * size / wanted - 0.5
    matrix = np.zeros((wanted, size))
    for row, place in enumerate(places):
        first = int(np.floor(place)) - 1
        place = np.floor(place) + np.rint((place - np.floor(place)) * 1024) / 1024
        for pixel in range(first, first + 4):
            t = abs(place - pixel)
            weight = (1.5 * t - 2.5) * t * t + 1 if t <= 1 else ((-0.5 * t + 2.5) * t - 4) * t + 2
            if 0 <= pixel < size:
                matrix[row, pixel] += weight
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def _area(size: int, wanted: int) -> Array:
    """Each new pixel is the mean of the old ones that it covers, in parts."""
    edges = np.arange(wanted + 1) * size / wanted
    matrix = np.zeros((wanted, size))
    for row in range(wanted):
        for pixel in range(int(np.floor(edges[row])), min(int(np.ceil(edges[row + 1])), size)):
            matrix[row, pixel] = max(min(edges[row + 1], pixel + 1) - max(edges[row], pixel), 0)
    return np.asarray(matrix / matrix.sum(axis=1, keepdims=True))


def _nearest(size: int, wanted: int) -> Array:
    matrix = np.zeros((wanted, size))
    places = np.minimum(np.floor((np.arange(wanted) + 0.5) * size / wanted).astype(int), size - 1)
    matrix[np.arange(wanted), places] = 1
    return matrix


_SPANS = {"lanczos3": 3.0, "lanczos5": 5.0, "gaussian": 1.5, "mitchellcubic": 2.0}


def _weight(method: str, t: float) -> float:
    t = abs(t)
    if method.startswith("lanczos"):
        radius = _SPANS[method]
        return 0.0 if t > radius else 1.0 if t <= 1e-3 else float(np.sinc(t) * np.sinc(t / radius))
    if method == "gaussian":
        return 0.0 if t >= 1.5 else float(np.exp(-(t**2) / (2 * 0.5**2)))
    if t >= 2:
        return 0.0
    if t >= 1:
        return (((-7 / 18) * t + 2) * t - 10 / 3) * t + 16 / 9
    return ((7 / 6) * t - 2) * t * t + 8 / 9


def _spans(size: int, wanted: int, method: str) -> Array:
    """Kernels of `ScaleAndTranslate` without antialiasing."""
    matrix = np.zeros((wanted, size))
    for row in range(wanted):
        place = (row + 0.5) * size / wanted
        low = max(int(np.ceil(place - _SPANS[method] - 0.5)), 0)
        high = min(int(np.floor(place + _SPANS[method] - 0.5)) + 1, size)
        for pixel in range(low, high):
            matrix[row, pixel] = _weight(method, place - pixel - 0.5)
        matrix[row] /= matrix[row].sum()
    return matrix


def resized(layer: Layer, x: Array, wanted: tuple[int, int], method: str) -> Array:
    """Images (..., height, width, channels) of another size."""
    makers = {"bilinear": _linear, "bicubic": _cubic, "area": _area, "nearest": _nearest}
    y = floating(x)
    for axis, size in zip((-3, -2), wanted, strict=True):
        length = y.shape[axis]
        if method in makers:
            matrix = makers[method](length, size)
        elif method in _SPANS:
            matrix = _spans(length, size, method)
        else:
            raise layer.unproven(f"it interpolates by a method that is not known, {method!r}")
        y = np.moveaxis(np.moveaxis(y, axis, -1) @ matrix.T, -1, axis)
    return y if method == "nearest" else layer.rounded(y, 4)


@elementary("Resizing")
def resizing(layer: Layer, x: Array) -> Array:
    wanted = int(layer.config["height"]), int(layer.config["width"])
    method = str(layer.get("interpolation", "bilinear"))
    first = layer.config.get("data_format") == "channels_first" and not layer.keras_2
    if layer.config.get("pad_to_aspect_ratio") or layer.config.get("antialias"):
        raise layer.unproven("it pads, or smooths before it resizes")
    x = np.moveaxis(x, -3, -1) if first else x
    if layer.config.get("crop_to_aspect_ratio"):
        x = _cropped_to_aspect(x, wanted)
    if layer.keras_2 and not layer.at_least(2, 4):
        raise layer.unproven("how the first release of it resizes is not known")
    y = resized(layer, x, wanted, method)
    return np.moveaxis(y, -1, -3) if first else y


def _cropped_to_aspect(x: Array, wanted: tuple[int, int]) -> Array:
    """The largest window in the middle that has the new aspect ratio; see `smart_resize`."""
    height, width = x.shape[-3:-1]
    crop_height = min(height, int(np.float32(width * wanted[0]) / np.float32(wanted[1])))
    crop_width = min(width, int(np.float32(height * wanted[1]) / np.float32(wanted[0])))
    top, left = int((height - crop_height) / 2), int((width - crop_width) / 2)
    return x[..., top : top + crop_height, left : left + crop_width, :]


@elementary("CenterCrop")
def center_crop(layer: Layer, x: Array) -> Array:
    """It cuts out the middle; an image that is too small is resized as `smart_resize` does."""
    wanted = int(layer.config["height"]), int(layer.config["width"])
    first = layer.config.get("data_format") == "channels_first"
    x = np.moveaxis(x, -3, -1) if first else x
    height, width = x.shape[-3:-1]
    if height >= wanted[0] and width >= wanted[1]:
        top, left = int((height - wanted[0]) / 2), int((width - wanted[1]) / 2)
        y = x[..., top : top + wanted[0], left : left + wanted[1], :]
    else:
        y = resized(layer, _cropped_to_aspect(x, wanted), wanted, "bilinear")
    return np.moveaxis(y, -1, -3) if first else y


@computes("RandomCrop")
def random_crop(layer: Layer, arguments: Arguments) -> Tensor:
    """In inference Keras 2.7 and later cuts to the aspect ratio and resizes, Keras 3 does nothing.

    Source: `RandomCrop.call` in image_preprocessing.py (2.15).
    """
    x = arguments.tensor(layer)
    if layer.training:
        raise layer.unproven("it is always called with training=True, and then computes something random")
    if not layer.keras_2:
        raise layer.unproven("releases of Keras 3 differ in what it does in inference")
    if not layer.at_least(2, 7):
        raise layer.unproven("it resizes before it cuts")
    wanted = int(layer.config["height"]), int(layer.config["width"])
    return Tensor(resized(layer, _cropped_to_aspect(floating(x.values), wanted), wanted, "bilinear"))


@computes(
    "RandomBrightness",
    "RandomContrast",
    "RandomFlip",
    "RandomHeight",
    "RandomRotation",
    "RandomTranslation",
    "RandomWidth",
    "RandomZoom",
)
def unchanged(layer: Layer, arguments: Arguments) -> Tensor:
    """In inference these hand on their input, mask and all; Keras 3's releases differ about the mask."""
    from tcn_migrate.evaluation.tensors import UNCLEAR

    if layer.training:
        raise layer.unproven("it is always called with training=True, and then computes something random")
    x = arguments.tensor(layer)
    return x if layer.keras_2 or x.mask is None else Tensor(x.values, UNCLEAR)
