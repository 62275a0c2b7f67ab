"""What a config may say: Keras's own classes, their settings, and the objects that settings may name.

Taken from `get_config()` of every layer class of Keras 3.0.5, 3.3.3, 3.5.0, 3.8.0, 3.10.0, 3.12.0, 3.14.0 and 3.15.1;
`tests/test_config_classes.py` compares the installed Keras with it. Settings that only Keras 2 wrote do not stand here:
the repairs remove them before a config is checked.
"""

from __future__ import annotations

COMMON = frozenset({"name", "trainable", "dtype", "activity_regularizer"})
"""Settings that every layer may have."""


def _keys(*groups: str) -> frozenset[str]:
    return frozenset(" ".join(groups).split())


_KERNEL = "kernel_initializer kernel_regularizer kernel_constraint"
_BIAS = "use_bias bias_initializer bias_regularizer bias_constraint"
_CONVOLUTION = f"filters kernel_size strides padding data_format dilation_rate activation {_KERNEL} {_BIAS}"
_DEPTHWISE = "depth_multiplier depthwise_initializer depthwise_regularizer depthwise_constraint"
_POINTWISE = "pointwise_initializer pointwise_regularizer pointwise_constraint"
_SEPARABLE = f"filters kernel_size strides padding data_format dilation_rate activation {_DEPTHWISE} {_POINTWISE}"
_CELL = (
    f"units activation {_KERNEL} {_BIAS} recurrent_initializer recurrent_regularizer recurrent_constraint "
    "dropout recurrent_dropout seed"
)
_RECURRENCE = "return_sequences return_state go_backwards stateful unroll zero_output_for_mask"
_POOLING = "pool_size strides padding data_format"
_GAMMA_BETA = (
    "axis epsilon center scale beta_initializer gamma_initializer beta_regularizer gamma_regularizer "
    "beta_constraint gamma_constraint"
)
_EMBEDDING = "input_dim output_dim embeddings_initializer embeddings_regularizer embeddings_constraint mask_zero"
_ATTENTION = f"dropout {_KERNEL} {_BIAS} seed sliding_window use_gate flash_attention"
_IMAGES = "data_format seed"
_FILL = "fill_mode fill_value interpolation"
_LOOKUP = (
    "max_tokens num_oov_indices mask_token oov_token vocabulary idf_weights invert output_mode pad_to_max_tokens "
    "sparse vocabulary_size salt oov_method"
)

LAYERS: dict[str, frozenset[str]] = {
    "InputLayer": _keys("batch_shape sparse ragged optional"),
    # core
    "Dense": _keys("units activation quantization_config", _KERNEL, _BIAS),
    "EinsumDense": _keys(
        "equation output_shape bias_axes activation quantization_config",
        _KERNEL,
        "bias_initializer bias_regularizer bias_constraint",
    ),
    "Embedding": _keys(_EMBEDDING, "quantization_config"),
    "ReversibleEmbedding": _keys(_EMBEDDING, "tie_weights reverse_dtype logit_soft_cap quantization_config"),
    "Identity": frozenset(),
    "Masking": _keys("mask_value"),
    # activations
    "Activation": _keys("activation"),
    "ELU": _keys("alpha"),
    "LeakyReLU": _keys("negative_slope"),
    "PReLU": _keys("alpha_initializer alpha_regularizer alpha_constraint shared_axes"),
    "ReLU": _keys("max_value negative_slope threshold"),
    "Softmax": _keys("axis"),
    # convolutions
    "Conv1D": _keys(_CONVOLUTION, "groups"),
    "Conv2D": _keys(_CONVOLUTION, "groups"),
    "Conv3D": _keys(_CONVOLUTION, "groups"),
    "Conv1DTranspose": _keys(_CONVOLUTION, "output_padding"),
    "Conv2DTranspose": _keys(_CONVOLUTION, "output_padding"),
    "Conv3DTranspose": _keys(_CONVOLUTION, "output_padding"),
    "DepthwiseConv1D": _keys("kernel_size strides padding data_format dilation_rate activation", _DEPTHWISE, _BIAS),
    "DepthwiseConv2D": _keys("kernel_size strides padding data_format dilation_rate activation", _DEPTHWISE, _BIAS),
    "SeparableConv1D": _keys(_SEPARABLE, _BIAS),
    "SeparableConv2D": _keys(_SEPARABLE, _BIAS),
    # pooling
    **{f"{kind}Pooling{rank}D": _keys(_POOLING) for kind in ("Average", "Max") for rank in (1, 2, 3)},
    **{
        f"Global{kind}Pooling{rank}D": _keys("data_format keepdims")
        for kind in ("Average", "Max")
        for rank in (1, 2, 3)
    },
    **{
        f"Adaptive{kind}Pooling{rank}D": _keys("output_size data_format")
        for kind in ("Average", "Max")
        for rank in (1, 2, 3)
    },
    # recurrence
    "LSTM": _keys(_CELL, _RECURRENCE, "recurrent_activation unit_forget_bias"),
    "GRU": _keys(_CELL, _RECURRENCE, "recurrent_activation reset_after"),
    "SimpleRNN": _keys(_CELL, _RECURRENCE),
    "LSTMCell": _keys(_CELL, "recurrent_activation unit_forget_bias"),
    "GRUCell": _keys(_CELL, "recurrent_activation reset_after"),
    "SimpleRNNCell": _keys(_CELL),
    "RNN": _keys("cell", _RECURRENCE),
    "StackedRNNCells": _keys("cells"),
    "ConvLSTM1D": _keys(_CELL, _RECURRENCE, _CONVOLUTION, "recurrent_activation unit_forget_bias") - {"units"},
    "ConvLSTM2D": _keys(_CELL, _RECURRENCE, _CONVOLUTION, "recurrent_activation unit_forget_bias") - {"units"},
    "ConvLSTM3D": _keys(_CELL, _RECURRENCE, _CONVOLUTION, "recurrent_activation unit_forget_bias") - {"units"},
    "Bidirectional": _keys("layer backward_layer merge_mode"),
    "TimeDistributed": _keys("layer"),
    # normalization
    "BatchNormalization": _keys(
        _GAMMA_BETA,
        "momentum moving_mean_initializer moving_variance_initializer synchronized",
        "renorm renorm_clipping renorm_momentum",
    ),
    "LayerNormalization": _keys(_GAMMA_BETA, "rms_scaling"),
    "GroupNormalization": _keys(_GAMMA_BETA, "groups"),
    "RMSNormalization": _keys("axis epsilon"),
    "UnitNormalization": _keys("axis"),
    "SpectralNormalization": _keys("layer power_iterations"),
    # attention
    "Attention": _keys("use_scale score_mode dropout seed"),
    "AdditiveAttention": _keys("use_scale dropout seed"),
    "MultiHeadAttention": _keys(_ATTENTION, "num_heads key_dim value_dim output_shape attention_axes"),
    "GroupQueryAttention": _keys(_ATTENTION, "head_dim num_query_heads num_key_value_heads"),
    # merging
    **{name: frozenset() for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")},
    "Concatenate": _keys("axis"),
    "Dot": _keys("axes normalize"),
    # reshaping
    "Cropping1D": _keys("cropping"),
    "Cropping2D": _keys("cropping data_format"),
    "Cropping3D": _keys("cropping data_format"),
    "Flatten": _keys("data_format"),
    "Permute": _keys("dims"),
    "RepeatVector": _keys("n"),
    "Reshape": _keys("target_shape"),
    "UpSampling1D": _keys("size"),
    "UpSampling2D": _keys("size data_format interpolation"),
    "UpSampling3D": _keys("size data_format"),
    "ZeroPadding1D": _keys("padding data_format"),
    "ZeroPadding2D": _keys("padding data_format"),
    "ZeroPadding3D": _keys("padding data_format"),
    # regularization
    "ActivityRegularization": _keys("l1 l2"),
    "AlphaDropout": _keys("rate noise_shape seed"),
    "Dropout": _keys("rate noise_shape seed"),
    "GaussianDropout": _keys("rate seed"),
    "GaussianNoise": _keys("stddev seed"),
    "SpatialDropout1D": _keys("rate seed"),
    "SpatialDropout2D": _keys("rate seed data_format"),
    "SpatialDropout3D": _keys("rate seed data_format"),
    # preprocessing of numbers
    "CategoryEncoding": _keys("num_tokens output_mode sparse"),
    "Discretization": _keys("bin_boundaries num_bins epsilon output_mode sparse"),
    "HashedCrossing": _keys("num_bins output_mode sparse"),
    "Hashing": _keys("num_bins mask_value salt output_mode sparse"),
    "IntegerLookup": _keys(_LOOKUP, "vocabulary_dtype"),
    "MelSpectrogram": _keys(
        "fft_length sequence_stride sequence_length window sampling_rate num_mel_bins min_freq max_freq power_to_db",
        "top_db mag_exp min_power ref_power",
    ),
    "Normalization": _keys("axis mean variance invert"),
    "Rescaling": _keys("scale offset"),
    "STFTSpectrogram": _keys(
        "mode frame_length frame_step fft_length window periodic scaling padding expand_dims data_format"
    ),
    "StringLookup": _keys(_LOOKUP, "encoding"),
    "TextVectorization": _keys(
        "max_tokens standardize split ngrams output_mode output_sequence_length pad_to_max_tokens sparse ragged",
        "vocabulary idf_weights encoding vocabulary_size",
    ),
    # preprocessing of images
    "AugMix": _keys(_IMAGES, "value_range num_chains chain_depth factor alpha all_ops interpolation"),
    "AutoContrast": _keys("value_range data_format"),
    "CenterCrop": _keys("height width data_format"),
    "ContrastLimitedAdaptiveHistogramEqualization": _keys("value_range clip_limit tile_grid_size data_format"),
    "CutMix": _keys(_IMAGES, "factor"),
    "Equalization": _keys("value_range bins data_format"),
    "MaxNumBoundingBoxes": _keys("max_number data_format"),
    "MixUp": _keys(_IMAGES, "alpha"),
    "RandAugment": _keys(_IMAGES, "value_range num_ops factor interpolation"),
    "RandomBrightness": _keys(_IMAGES, "factor value_range"),
    "RandomColorDegeneration": _keys(_IMAGES, "factor value_range"),
    "RandomColorJitter": _keys(_IMAGES, "value_range brightness_factor contrast_factor saturation_factor hue_factor"),
    "RandomContrast": _keys(_IMAGES, "factor value_range"),
    "RandomCrop": _keys(_IMAGES, "height width"),
    "RandomElasticTransform": _keys(_IMAGES, _FILL, "factor scale value_range"),
    "RandomErasing": _keys(_IMAGES, "factor scale fill_value value_range"),
    "RandomFlip": _keys(_IMAGES, "mode"),
    "RandomGaussianBlur": _keys(_IMAGES, "factor kernel_size sigma value_range"),
    "RandomGrayscale": _keys(_IMAGES, "factor"),
    "RandomHue": _keys(_IMAGES, "factor value_range"),
    "RandomInvert": _keys(_IMAGES, "factor value_range"),
    "RandomPerspective": _keys(_IMAGES, "factor scale interpolation fill_value"),
    "RandomPosterization": _keys(_IMAGES, "factor value_range"),
    "RandomRotation": _keys(_IMAGES, _FILL, "factor value_range"),
    "RandomSaturation": _keys(_IMAGES, "factor value_range"),
    "RandomSharpness": _keys(_IMAGES, "factor value_range"),
    "RandomShear": _keys(_IMAGES, _FILL, "x_factor y_factor"),
    "RandomTranslation": _keys(_IMAGES, _FILL, "height_factor width_factor"),
    "RandomZoom": _keys(_IMAGES, _FILL, "height_factor width_factor"),
    "Resizing": _keys(
        "height width interpolation crop_to_aspect_ratio pad_to_aspect_ratio fill_mode fill_value antialias",
        "data_format",
    ),
    "Solarization": _keys(_IMAGES, "addition_factor threshold_factor value_range"),
    "Pipeline": _keys("layers"),
}
"""Every built-in layer class that a migrated file may contain, with the settings that its config may hold."""

FORMER_NAMES: dict[str, str] = {
    "Model": "Functional",
    "Network": "Functional",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "UnifiedLSTM": "LSTM",
    "UnifiedGRU": "GRU",
    "GroupedQueryAttention": "GroupQueryAttention",
}
"""Class names that older releases wrote (keras <= 2.3.1, TensorFlow 1.13 - 2.2) for the same function."""

GONE: dict[str, str] = {
    "LocallyConnected1D": "Keras 3 has no locally connected layers",
    "LocallyConnected2D": "Keras 3 has no locally connected layers",
    "CuDNNLSTM": "Keras 3 has no layer with cuDNN's two biases; convert it to LSTM with the old library first",
    "CuDNNGRU": "Keras 3 has no layer with cuDNN's two biases; convert it to GRU with the old library first",
    "DenseFeatures": "Keras 3 has no feature columns",
    "SequenceFeatures": "Keras 3 has no feature columns",
    "LinearModel": "Keras 3 has no such model",
    "WideDeepModel": "Keras 3 has no such model",
    "RandomHeight": "Keras 3 has no layer that changes the size of an image at random",
    "RandomWidth": "Keras 3 has no layer that changes the size of an image at random",
    "RandomFourierFeatures": "Keras 3 has no random Fourier features",
    "AbstractRNNCell": "it is a base class of the user's own cell",
    "ConvRNN2D": "it is a base class of the user's own layer",
    "ConvLSTM2DCell": "Keras 3 has no cell of ConvLSTM2D outside of it",
    "ConvRecurrent2D": "it is a base class of the user's own layer",
    "MaxoutDense": "Keras 3 has no such layer",
    "Highway": "Keras 3 has no such layer",
    "Merge": "keras below 2.2 alone can read it",
    "AtrousConvolution1D": "keras below 2.2 alone can read it",
    "AtrousConvolution2D": "keras below 2.2 alone can read it",
    "StackedRNN": "Keras 3 has no such layer",
    "PeepholeLSTMCell": "Keras 3 has no such cell",
    "ClassMethod": "it stands for a function of TensorFlow",
    "InstanceMethod": "it stands for a method of a TensorFlow object",
    "InstanceProperty": "it stands for a property of a TensorFlow object",
    "KerasTensor": "it is no layer",
    "Layer": "it is the base class of the user's own layer",
    "Wrapper": "it is the base class of the user's own layer",
}
"""Classes of Keras 2 that cannot be migrated, with the reason."""

OUTSIDE: dict[str, str] = {
    "TFSMLayer": "it runs another SavedModel",
    "TorchModuleWrapper": "it holds a pickled module",
    "FlaxLayer": "it holds code",
    "JaxLayer": "it holds code",
}
"""Classes whose config holds code or points out of the file."""

ACTIVATIONS = _keys(
    "celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear",
    "log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus",
    "sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold",
)
"""Functions that `keras.activations.get` knows by name in Keras 3.15.1."""

INITIALIZERS: dict[str, frozenset[str]] = {
    "Zeros": frozenset(),
    "Ones": frozenset(),
    "Constant": _keys("value"),
    "Identity": _keys("gain"),
    "IdentityInitializer": _keys("gain"),
    "Orthogonal": _keys("gain seed"),
    "OrthogonalInitializer": _keys("gain seed"),
    "RandomNormal": _keys("mean stddev seed"),
    "RandomUniform": _keys("minval maxval seed"),
    "TruncatedNormal": _keys("mean stddev seed"),
    "VarianceScaling": _keys("scale mode distribution seed"),
    **{f"{name}{law}": _keys("seed") for name in ("Glorot", "He", "Lecun") for law in ("Normal", "Uniform")},
}
REGULARIZERS: dict[str, frozenset[str]] = {
    "L1": _keys("l1"),
    "L2": _keys("l2"),
    "L1L2": _keys("l1 l2"),
    "OrthogonalRegularizer": _keys("factor mode"),
}
CONSTRAINTS: dict[str, frozenset[str]] = {
    "MaxNorm": _keys("max_value axis"),
    "MinMaxNorm": _keys("min_value max_value rate axis"),
    "NonNeg": frozenset(),
    "UnitNorm": _keys("axis"),
}
OBJECTS = {"initializer": INITIALIZERS, "regularizer": REGULARIZERS, "constraint": CONSTRAINTS}
"""Objects that training alone needs, by the last word of the setting that holds one, with their settings."""

SHORT_NAMES: dict[str, frozenset[str]] = {
    "initializer": _keys(
        "zero zeros one ones orthogonal normal uniform random_normal random_uniform",
        "truncated_normal variance_scaling glorot_normal glorot_uniform he_normal he_uniform lecun_normal",
        "lecun_uniform",
    ),
    "regularizer": _keys("l1 l2 l1l2 orthogonal_regularizer"),
    "constraint": _keys("max_norm min_max_norm non_neg unit_norm"),
}
"""The same objects with their default settings, as a string."""
