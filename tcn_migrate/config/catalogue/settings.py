"""What a config may say: Keras's own classes, their settings, and the objects that settings may name.

Taken from `get_config()` of every layer class of Keras 3.0.5, 3.3.3, 3.5.0, 3.8.0, 3.10.0, 3.12.0, 3.14.0 and 3.15.1;
`tests/test_config_classes.py` compares the installed Keras with it. Settings that only Keras 2 wrote do not stand here:
the repairs remove them before a config is checked.
"""

from __future__ import annotations

COMMON = frozenset({"name", "trainable", "dtype", "activity_regularizer"})
"""Settings that every layer may have."""


def words(*groups: str) -> frozenset[str]:
    """The words in some texts."""
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
    "InputLayer": words("batch_shape sparse ragged optional"),
    # core
    "Dense": words("units activation quantization_config", _KERNEL, _BIAS),
    "EinsumDense": words(
        "equation output_shape bias_axes activation quantization_config",
        _KERNEL,
        "bias_initializer bias_regularizer bias_constraint",
    ),
    "Embedding": words(_EMBEDDING, "quantization_config"),
    "ReversibleEmbedding": words(_EMBEDDING, "tie_weights reverse_dtype logit_soft_cap quantization_config"),
    "Identity": frozenset(),
    "Masking": words("mask_value"),
    # activations
    "Activation": words("activation"),
    "ELU": words("alpha"),
    "LeakyReLU": words("negative_slope"),
    "PReLU": words("alpha_initializer alpha_regularizer alpha_constraint shared_axes"),
    "ReLU": words("max_value negative_slope threshold"),
    "Softmax": words("axis"),
    # convolutions
    "Conv1D": words(_CONVOLUTION, "groups"),
    "Conv2D": words(_CONVOLUTION, "groups"),
    "Conv3D": words(_CONVOLUTION, "groups"),
    "Conv1DTranspose": words(_CONVOLUTION, "output_padding"),
    "Conv2DTranspose": words(_CONVOLUTION, "output_padding"),
    "Conv3DTranspose": words(_CONVOLUTION, "output_padding"),
    "DepthwiseConv1D": words("kernel_size strides padding data_format dilation_rate activation", _DEPTHWISE, _BIAS),
    "DepthwiseConv2D": words("kernel_size strides padding data_format dilation_rate activation", _DEPTHWISE, _BIAS),
    "SeparableConv1D": words(_SEPARABLE, _BIAS),
    "SeparableConv2D": words(_SEPARABLE, _BIAS),
    # pooling
    **{f"{kind}Pooling{rank}D": words(_POOLING) for kind in ("Average", "Max") for rank in (1, 2, 3)},
    **{
        f"Global{kind}Pooling{rank}D": words("data_format keepdims")
        for kind in ("Average", "Max")
        for rank in (1, 2, 3)
    },
    **{
        f"Adaptive{kind}Pooling{rank}D": words("output_size data_format")
        for kind in ("Average", "Max")
        for rank in (1, 2, 3)
    },
    # recurrence
    "LSTM": words(_CELL, _RECURRENCE, "recurrent_activation unit_forget_bias"),
    "GRU": words(_CELL, _RECURRENCE, "recurrent_activation reset_after"),
    "SimpleRNN": words(_CELL, _RECURRENCE),
    "LSTMCell": words(_CELL, "recurrent_activation unit_forget_bias"),
    "GRUCell": words(_CELL, "recurrent_activation reset_after"),
    "SimpleRNNCell": words(_CELL),
    "RNN": words("cell", _RECURRENCE),
    "StackedRNNCells": words("cells"),
    "ConvLSTM1D": words(_CELL, _RECURRENCE, _CONVOLUTION, "recurrent_activation unit_forget_bias") - {"units"},
    "ConvLSTM2D": words(_CELL, _RECURRENCE, _CONVOLUTION, "recurrent_activation unit_forget_bias") - {"units"},
    "ConvLSTM3D": words(_CELL, _RECURRENCE, _CONVOLUTION, "recurrent_activation unit_forget_bias") - {"units"},
    "Bidirectional": words("layer backward_layer merge_mode"),
    "TimeDistributed": words("layer"),
    # normalization
    "BatchNormalization": words(
        _GAMMA_BETA,
        "momentum moving_mean_initializer moving_variance_initializer synchronized",
        "renorm renorm_clipping renorm_momentum",
    ),
    "LayerNormalization": words(_GAMMA_BETA, "rms_scaling"),
    "GroupNormalization": words(_GAMMA_BETA, "groups"),
    "RMSNormalization": words("axis epsilon"),
    "UnitNormalization": words("axis"),
    "SpectralNormalization": words("layer power_iterations"),
    # attention
    "Attention": words("use_scale score_mode dropout seed"),
    "AdditiveAttention": words("use_scale dropout seed"),
    "MultiHeadAttention": words(_ATTENTION, "num_heads key_dim value_dim output_shape attention_axes"),
    "GroupQueryAttention": words(_ATTENTION, "head_dim num_query_heads num_key_value_heads"),
    # merging
    **{name: frozenset() for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")},
    "Concatenate": words("axis"),
    "Dot": words("axes normalize"),
    # reshaping
    "Cropping1D": words("cropping"),
    "Cropping2D": words("cropping data_format"),
    "Cropping3D": words("cropping data_format"),
    "Flatten": words("data_format"),
    "Permute": words("dims"),
    "RepeatVector": words("n"),
    "Reshape": words("target_shape"),
    "UpSampling1D": words("size"),
    "UpSampling2D": words("size data_format interpolation"),
    "UpSampling3D": words("size data_format"),
    "ZeroPadding1D": words("padding data_format"),
    "ZeroPadding2D": words("padding data_format"),
    "ZeroPadding3D": words("padding data_format"),
    # regularization
    "ActivityRegularization": words("l1 l2"),
    "AlphaDropout": words("rate noise_shape seed"),
    "Dropout": words("rate noise_shape seed"),
    "GaussianDropout": words("rate seed"),
    "GaussianNoise": words("stddev seed"),
    "SpatialDropout1D": words("rate seed"),
    "SpatialDropout2D": words("rate seed data_format"),
    "SpatialDropout3D": words("rate seed data_format"),
    # preprocessing of numbers
    "CategoryEncoding": words("num_tokens output_mode sparse"),
    "Discretization": words("bin_boundaries num_bins epsilon output_mode sparse"),
    "HashedCrossing": words("num_bins output_mode sparse"),
    "Hashing": words("num_bins mask_value salt output_mode sparse"),
    "IntegerLookup": words(_LOOKUP, "vocabulary_dtype"),
    "MelSpectrogram": words(
        "fft_length sequence_stride sequence_length window sampling_rate num_mel_bins min_freq max_freq power_to_db",
        "top_db mag_exp min_power ref_power",
    ),
    "Normalization": words("axis mean variance invert"),
    "Rescaling": words("scale offset"),
    "STFTSpectrogram": words(
        "mode frame_length frame_step fft_length window periodic scaling padding expand_dims data_format"
    ),
    "StringLookup": words(_LOOKUP, "encoding"),
    "TextVectorization": words(
        "max_tokens standardize split ngrams output_mode output_sequence_length pad_to_max_tokens sparse ragged",
        "vocabulary idf_weights encoding vocabulary_size",
    ),
    # preprocessing of images
    "AugMix": words(_IMAGES, "value_range num_chains chain_depth factor alpha all_ops interpolation"),
    "AutoContrast": words("value_range data_format"),
    "CenterCrop": words("height width data_format"),
    "ContrastLimitedAdaptiveHistogramEqualization": words("value_range clip_limit tile_grid_size data_format"),
    "CutMix": words(_IMAGES, "factor"),
    "Equalization": words("value_range bins data_format"),
    "MaxNumBoundingBoxes": words("max_number data_format"),
    "MixUp": words(_IMAGES, "alpha"),
    "RandAugment": words(_IMAGES, "value_range num_ops factor interpolation"),
    "RandomBrightness": words(_IMAGES, "factor value_range"),
    "RandomColorDegeneration": words(_IMAGES, "factor value_range"),
    "RandomColorJitter": words(_IMAGES, "value_range brightness_factor contrast_factor saturation_factor hue_factor"),
    "RandomContrast": words(_IMAGES, "factor value_range"),
    "RandomCrop": words(_IMAGES, "height width"),
    "RandomElasticTransform": words(_IMAGES, _FILL, "factor scale value_range"),
    "RandomErasing": words(_IMAGES, "factor scale fill_value value_range"),
    "RandomFlip": words(_IMAGES, "mode"),
    "RandomGaussianBlur": words(_IMAGES, "factor kernel_size sigma value_range"),
    "RandomGrayscale": words(_IMAGES, "factor"),
    "RandomHue": words(_IMAGES, "factor value_range"),
    "RandomInvert": words(_IMAGES, "factor value_range"),
    "RandomPerspective": words(_IMAGES, "factor scale interpolation fill_value"),
    "RandomPosterization": words(_IMAGES, "factor value_range"),
    "RandomRotation": words(_IMAGES, _FILL, "factor value_range"),
    "RandomSaturation": words(_IMAGES, "factor value_range"),
    "RandomSharpness": words(_IMAGES, "factor value_range"),
    "RandomShear": words(_IMAGES, _FILL, "x_factor y_factor"),
    "RandomTranslation": words(_IMAGES, _FILL, "height_factor width_factor"),
    "RandomZoom": words(_IMAGES, _FILL, "height_factor width_factor"),
    "Resizing": words(
        "height width interpolation crop_to_aspect_ratio pad_to_aspect_ratio fill_mode fill_value antialias",
        "data_format",
    ),
    "Solarization": words(_IMAGES, "addition_factor threshold_factor value_range"),
    "Pipeline": words("layers"),
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

ACTIVATIONS = words(
    "celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear",
    "log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus",
    "sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold",
)
"""Functions that `keras.activations.get` knows by name in Keras 3.15.1."""

# The identity matrix is not among them: Keras 3.0 cannot read it from a config.
INITIALIZERS: dict[str, frozenset[str]] = {
    "Zeros": frozenset(),
    "Ones": frozenset(),
    "Constant": words("value"),
    "Orthogonal": words("gain seed"),
    "OrthogonalInitializer": words("gain seed"),
    "RandomNormal": words("mean stddev seed"),
    "RandomUniform": words("minval maxval seed"),
    "TruncatedNormal": words("mean stddev seed"),
    "VarianceScaling": words("scale mode distribution seed"),
    **{f"{name}{law}": words("seed") for name in ("Glorot", "He", "Lecun") for law in ("Normal", "Uniform")},
}
REGULARIZERS: dict[str, frozenset[str]] = {
    "L1": words("l1"),
    "L2": words("l2"),
    "L1L2": words("l1 l2"),
    "OrthogonalRegularizer": words("factor mode"),
}
CONSTRAINTS: dict[str, frozenset[str]] = {
    "MaxNorm": words("max_value axis"),
    "MinMaxNorm": words("min_value max_value rate axis"),
    "NonNeg": frozenset(),
    "UnitNorm": words("axis"),
}
OBJECTS = {"initializer": INITIALIZERS, "regularizer": REGULARIZERS, "constraint": CONSTRAINTS}
"""Objects that training alone needs, by the last word of the setting that holds one, with their settings."""

SHORT_NAMES: dict[str, frozenset[str]] = {
    "initializer": words(
        "zero zeros one ones orthogonal normal uniform random_normal random_uniform",
        "truncated_normal variance_scaling glorot_normal glorot_uniform he_normal he_uniform lecun_normal",
        "lecun_uniform",
    ),
    "regularizer": words("l1 l2 l1l2 orthogonal_regularizer"),
    "constraint": words("max_norm min_max_norm non_neg unit_norm"),
}
"""The same objects with their default settings, as a string."""
