"""Preprocessing of numbers, texts and images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.catalogue.layer_class import (
    ANY,
    HANDS_ON,
    MAY_BE_THE_INPUT,
    PASSES_IN_KERAS_3,
    MaskRule,
    Variable,
    layer,
    only_if,
)
from tcn_migrate.config.catalogue.shapes import same

_IMAGES = "data_format seed"
_FILL = "fill_mode fill_value interpolation"
_LOOKUP = (
    "max_tokens num_oov_indices mask_token oov_token vocabulary idf_weights invert output_mode pad_to_max_tokens "
    "sparse vocabulary_size salt oov_method"
)
_CHANNELS_LAST = {"data_format": "channels_last"}
_VOCABULARY: dict[str, Any] = {
    "younger": {"oov_method": "floormod", "salt": None},
    "without_effect": "vocabulary_size",
}


def _normalization(config: Json) -> Iterable[Variable]:
    return only_if(
        config.get("mean") is None,
        *(Variable(name, trainable=False) for name in ("mean", "variance")),
        Variable("count", (), trainable=False),
    )


ROWS = (
    # numbers and texts
    layer("CategoryEncoding", "num_tokens output_mode sparse", younger={"sparse": False}),
    layer(
        "Discretization",
        "bin_boundaries num_bins epsilon output_mode sparse",
        keras_2_settings={"trainable": ANY},
    ),
    layer("HashedCrossing", "num_bins output_mode sparse", keras_2_settings={"trainable": ANY}),
    layer("Hashing", "num_bins mask_value salt output_mode sparse"),
    layer("IntegerLookup", f"{_LOOKUP} vocabulary_dtype", **_VOCABULARY),
    layer("StringLookup", f"{_LOOKUP} encoding", **_VOCABULARY),
    layer(
        "TextVectorization",
        "max_tokens standardize split ngrams output_mode output_sequence_length pad_to_max_tokens sparse ragged "
        "vocabulary idf_weights encoding vocabulary_size",
        without_effect="vocabulary_size",
    ),
    layer(
        "MelSpectrogram",
        "fft_length sequence_stride sequence_length window sampling_rate num_mel_bins min_freq max_freq power_to_db "
        "top_db mag_exp min_power ref_power",
    ),
    layer(
        "STFTSpectrogram",
        "mode frame_length frame_step fft_length window periodic scaling padding expand_dims data_format",
    ),
    layer(
        "Normalization",
        "axis mean variance invert",
        keras_2_settings={"count": ANY},
        variables=_normalization,
        output_shape=same,
        masks=PASSES_IN_KERAS_3,
    ),
    layer("Rescaling", "scale offset", output_shape=same, masks=PASSES_IN_KERAS_3),
    # images
    layer("CenterCrop", "height width data_format", masks=MAY_BE_THE_INPUT),
    layer(
        "Resizing",
        "height width interpolation crop_to_aspect_ratio pad_to_aspect_ratio fill_mode fill_value antialias "
        "data_format",
        younger={"antialias": False, "pad_to_aspect_ratio": False, "fill_mode": "constant", "fill_value": 0.0},
        masks=MAY_BE_THE_INPUT,
    ),
    layer("AutoContrast", "value_range data_format", younger=_CHANNELS_LAST, random=True),
    layer("ContrastLimitedAdaptiveHistogramEqualization", "value_range clip_limit tile_grid_size data_format"),
    layer("Equalization", "value_range bins data_format", younger=_CHANNELS_LAST),
    layer("MaxNumBoundingBoxes", "max_number data_format", younger=_CHANNELS_LAST),
    layer("Pipeline", "layers", random=True),
    # images changed at random in training
    layer("RandomBrightness", f"{_IMAGES} factor value_range", younger=_CHANNELS_LAST, random=True, masks=HANDS_ON),
    layer(
        "RandomContrast",
        f"{_IMAGES} factor value_range",
        younger={"value_range": [0, 255], **_CHANNELS_LAST},
        random=True,
        masks=HANDS_ON,
    ),
    layer(
        "RandomCrop",
        f"{_IMAGES} height width",
        replaced_by="Resizing",
        random=True,
        masks=MaskRule(keras_3=None),
    ),
    layer("RandomFlip", f"{_IMAGES} mode", younger=_CHANNELS_LAST, random=True, masks=HANDS_ON),
    layer(
        "RandomRotation",
        f"{_IMAGES} {_FILL} factor value_range",
        without_effect="value_range",
        random=True,
        masks=HANDS_ON,
    ),
    layer("RandomTranslation", f"{_IMAGES} {_FILL} height_factor width_factor", random=True, masks=HANDS_ON),
    layer("RandomZoom", f"{_IMAGES} {_FILL} height_factor width_factor", random=True, masks=HANDS_ON),
    *(
        layer(name, None, replaced_by="Identity", random=True, output_shape=same, masks=HANDS_ON)
        for name in ("RandomHeight", "RandomWidth")
    ),
    # the same, of Keras 3 alone
    layer("RandomShear", f"{_IMAGES} {_FILL} x_factor y_factor", random=True),
    *(
        layer(name, f"{_IMAGES} {settings}", younger=_CHANNELS_LAST, random=True)
        for name, settings in (
            ("AugMix", "value_range num_chains chain_depth factor alpha all_ops interpolation"),
            ("CutMix", "factor"),
            ("MixUp", "alpha"),
            ("RandAugment", "value_range num_ops factor interpolation"),
            ("RandomColorDegeneration", "factor value_range"),
            ("RandomColorJitter", "value_range brightness_factor contrast_factor saturation_factor hue_factor"),
            ("RandomElasticTransform", f"{_FILL} factor scale value_range"),
            ("RandomErasing", "factor scale fill_value value_range"),
            ("RandomGaussianBlur", "factor kernel_size sigma value_range"),
            ("RandomGrayscale", "factor"),
            ("RandomHue", "factor value_range"),
            ("RandomInvert", "factor value_range"),
            ("RandomPerspective", "factor scale interpolation fill_value"),
            ("RandomPosterization", "factor value_range"),
            ("RandomSaturation", "factor value_range"),
            ("RandomSharpness", "factor value_range"),
            ("Solarization", "addition_factor threshold_factor value_range"),
        )
    ),
)
