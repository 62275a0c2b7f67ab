"""What every built-in layer class does with a mask, in Keras 2 and in Keras 3, measured class by class.

A mask rides on a tensor (`_keras_mask`) from the layer that makes it to those that use it. Measured with TensorFlow
2.4.4 and 2.15.1 against Keras 3.0.5, 3.8.0 and 3.15.1, by calling each layer on a masked tensor, and read in Keras 2.6
to 2.10. A class that is in no set here ends the mask in both.
"""

from __future__ import annotations

import re

_NOISE = "ActivityRegularization AlphaDropout Dropout GaussianDropout GaussianNoise SpatialDropout1D SpatialDropout2D"
_PASSED_BY_BOTH = frozenset(
    f"{_NOISE} SpatialDropout3D Activation Dense ELU LeakyReLU PReLU ReLU ThresholdedReLU Softmax BatchNormalization "
    "LayerNormalization UnitNormalization GroupNormalization SpectralNormalization SyncBatchNormalization".split()
)
PASSED_BY_KERAS_3 = _PASSED_BY_BOTH | {"Identity", "Normalization", "Rescaling"}
"""Layers with one input that pass its mask on in every Keras 3."""

RANDOM_IMAGES = frozenset(
    [
        "RandomBrightness",
        "RandomContrast",
        "RandomCrop",
        "RandomFlip",
        "RandomRotation",
        "RandomTranslation",
        "RandomZoom",
    ]
)
"""In inference Keras 2 hands its very input on, and the mask with it (not RandomCrop). Keras 3 mostly does so too."""

MAY_BE_THE_INPUT = frozenset(
    [
        "Reshape",
        "Flatten",
        "Permute",
        "Cropping1D",
        "Cropping2D",
        "Cropping3D",
        "ZeroPadding1D",
        "ZeroPadding2D",
        "ZeroPadding3D",
        "UpSampling1D",
        "UpSampling2D",
        "UpSampling3D",
        "Cast",
        "Resizing",
        "CenterCrop",
        "BroadcastTo",
        "Squeeze",
        "Transpose",
        "Swapaxes",
        "Moveaxis",
    ]
)
"""They end the mask; but where nothing changes, a backend of Keras 3 may hand back its very input, mask and all."""

REPLACED_BY_OTHERS = frozenset({"AddLoss", "AddMetric"})
"""They hand their very input on in Keras 2."""

REPLACED = frozenset({"ThresholdedReLU", "SyncBatchNormalization"}) | REPLACED_BY_OTHERS
"""Classes of Keras 2 alone, which later repairs write as others."""

MERGES = frozenset(["Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"])
"""Keras 2 takes the masks that there are and ANDs them. Keras 3.0 drops them, later ones OR them if all inputs have
one, and Multiply, Maximum and Minimum then compute something else where a mask is False. Concatenate asks all
features (Keras 2) or any (Keras 3), and in Keras 3 takes names away from the model."""

ATTENTIONS = frozenset(["Attention", "AdditiveAttention"])
"""They use and pass the query's mask and use the value's. Keras 3.0 to 3.8 fail on the latter, 3.0 never passes."""

RECURRENT = frozenset(["LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Bidirectional"])
"""They use a mask, and pass it on with a returned sequence. Keras 3 does not see it if initial states are given."""

USES = RECURRENT | {"GlobalAveragePooling1D"}
"""Layers with one input that use its mask."""


def passed_by_keras_2(class_name: str, config: dict[str, object], keras_version: str | None) -> bool | None:
    """Whether a layer passes its only input's mask on in the Keras 2 that wrote the file; None if that is not known.

    ReLU does since Keras 2.6 (in 2.4 it does not); the converted ThresholdedReLU always did.
    """
    if class_name == "ReLU" and "max_value" in config:
        version = _version(keras_version)
        if version is None or version == (2, 5):
            return None
        return version >= (2, 6)
    if class_name == "RandomCrop":
        return False
    return class_name in _PASSED_BY_BOTH | RANDOM_IMAGES | REPLACED_BY_OTHERS


def attended_by_masks(keras_version: str | None) -> bool | None:
    """Whether MultiHeadAttention looks at the masks of its inputs, as since Keras 2.10; None if it is not known."""
    version = _version(keras_version)
    return None if version is None else version >= (2, 10)


def _version(keras_version: str | None) -> tuple[int, int] | None:
    """(2, 4) of "2.4.0", of "2.2.4-tf"; None if nothing was stored."""
    found = re.match(r"(\d{1,4})\.(\d{1,4})", keras_version or "")
    return (int(found[1]), int(found[2])) if found else None
