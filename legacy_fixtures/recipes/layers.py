"""Old files for every built-in layer class of Keras 2: the layer in several settings, next to a TCN.

    python layers.py OUT                    one folder for every case below
    python layers.py OUT --together         one case for each class and what changed its meaning, many in a folder: small
    python layers.py OUT --only WORD        the cases whose name contains WORD

Runs in an environment of its day; what the TensorFlow at hand does not have is left out and named:
    Python 3.11: tensorflow==2.15.1 keras-tcn==3.5.0        Python 3.8: tensorflow==2.4.4 keras-tcn==3.4.0

A case is a branch of a model: its input's shape and a function that puts the layers on it. Every model has a TCN beside
its branches (behind them where they end in a sequence, in the single cases), a Dense head over all, and weights drawn so
that every variable matters. A folder holds the old file, golden.npz with the inputs x0, x1, ... and the old library's
predictions y0, and case.json.
"""

import argparse
import json
import os
import platform
import re
import sys
import types
import warnings
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
warnings.filterwarnings("ignore")
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

tf.get_logger().setLevel("ERROR")
for missing in ("tensorflow_addons", "tensorflow_addons.layers"):  # keras-tcn imports it for its weight norm alone
    stub = types.ModuleType(missing)
    stub.WeightNormalization, stub.layers = None, sys.modules.get("tensorflow_addons.layers")
    sys.modules[missing] = stub
from tcn import TCN  # noqa: E402

keras, K = tf.keras, tf.keras.backend
VERSION = getattr(keras, "__version__", None) or __import__("keras").__version__
ENVIRONMENT = "tf" + "".join(tf.__version__.split(".")[:2])
CASES = {}


class Layers:
    """`tf.keras.layers`, and what was experimental in its day."""

    def __getattr__(self, name):
        older = getattr(keras.layers.experimental, "preprocessing", None)
        for home in (keras.layers, keras.layers.experimental, older):
            if hasattr(home, name):
                return getattr(home, name)
        raise AttributeError(name)


L = Layers()


def branch(name, classes, settings, shape, build, **more):
    """Register a case: `build` gets the input (inputs, if `shape` is a list) and returns what the layers make of it."""
    CASES[name] = dict(name=name, classes=classes.split(), settings=settings, shape=shape, build=build, **more)


def through(*makers):
    def build(x):
        for make in makers:
            x = make()(x)
        return x

    return build


SERIES, IMAGE, VOLUME, VECTOR = (8, 3), (6, 6, 2), (4, 4, 4, 2), (6,)


def dense(units=3, **more):
    return lambda: L.Dense(units, **more)


def lstm(units=3, **more):
    return lambda: L.LSTM(units, return_sequences=True, **more)


# --- core -----------------------------------------------------------------------------------------------------------
branch("dense", "Dense", "regularizers, constraints, no bias", SERIES, through(
    lambda: L.Dense(4, activation="relu", kernel_regularizer="l2", bias_constraint="max_norm"),
    lambda: L.Dense(3, use_bias=False, kernel_regularizer=keras.regularizers.L1L2(0.1, 0.2), kernel_constraint=keras.constraints.UnitNorm()),
    lambda: L.Dense(3, activity_regularizer=keras.regularizers.l1(0.1), kernel_constraint=keras.constraints.MinMaxNorm(0.1, 2.0), bias_constraint="non_neg")))
branch("dense-initializers", "Dense", "every initializer as an object", SERIES, through(*[
    (lambda made=made: L.Dense(3, kernel_initializer=made)) for made in (
        keras.initializers.HeUniform(), keras.initializers.LecunNormal(seed=3), keras.initializers.Orthogonal(0.5), keras.initializers.TruncatedNormal(0.1, 0.2),
        keras.initializers.RandomUniform(-1, 1), keras.initializers.Constant(0.3), keras.initializers.VarianceScaling(2.0, "fan_out", "uniform"), keras.initializers.Identity(0.7),
        keras.initializers.GlorotNormal(), keras.initializers.RandomNormal(), keras.initializers.Zeros(), keras.initializers.Ones())]))
branch("dense-regularizers", "Dense", "l1, l2, l1_l2 and radial constraint", SERIES, through(
    lambda: L.Dense(3, kernel_regularizer=keras.regularizers.L1(0.1), bias_regularizer=keras.regularizers.L2(0.1)),
    lambda: L.Dense(3, kernel_regularizer="l1_l2", kernel_constraint=keras.constraints.MaxNorm(2, axis=1)),
    lambda: L.Dense(3, kernel_regularizer=keras.regularizers.OrthogonalRegularizer(0.1))), since=(2, 12))
branch("dense-regularizer-strings", "Dense", "regularizer and constraint as strings", SERIES, through(
    lambda: L.Dense(3, kernel_regularizer="l1"), lambda: L.Dense(3, kernel_regularizer="l1_l2", kernel_constraint="unit_norm")))
for function in "elu exponential gelu hard_sigmoid linear mish relu selu sigmoid softmax softplus softsign swish tanh".split():
    branch("activation-" + function.replace("_", "-"), "Activation", function, SERIES, through(dense(), lambda f=function: L.Activation(f)))
    branch("dense-" + function.replace("_", "-"), "Dense", "activation " + function, SERIES, through(lambda f=function: L.Dense(4, activation=f)))
branch("activation-object", "Activation", "a function or a layer as the activation", SERIES, through(
    lambda: L.Dense(3, activation=tf.nn.relu), lambda: L.Activation(keras.activations.tanh), lambda: L.Dense(3, activation=tf.nn.tanh)))
branch("activation-relu6", "Dense", "activation tf.nn.relu6", SERIES, through(lambda: L.Dense(3, activation=tf.nn.relu6)))
branch("activation-layer", "Dense", "a LeakyReLU layer as the activation", SERIES, through(lambda: L.Dense(3, activation=L.LeakyReLU(0.3)), lambda: L.Conv1D(3, 2, activation=L.ReLU(2.0))))
branch("activity-regularization", "ActivityRegularization", "l1 and l2", SERIES, through(lambda: L.ActivityRegularization(0.1, 0.2)))
branch("einsum-dense", "EinsumDense", "two equations", SERIES, through(
    lambda: L.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d", activation="relu"), lambda: L.EinsumDense("abc,bd->adc", (5, 4))))
branch("embedding", "Embedding", "with and without input_length", (8,), through(lambda: L.Embedding(9, 3, input_length=8)), numbers=9)
branch("embedding-constraint", "Embedding", "constraint, regularizer", (8,), through(lambda: L.Embedding(9, 3, embeddings_constraint="unit_norm", embeddings_regularizer="l2")), numbers=9)
branch("identity", "Identity", "default", SERIES, through(lambda: L.Identity()))
branch("input-layer", "InputLayer", "given as a layer", SERIES, through(dense()))
branch("masking", "Masking", "followed by nothing that uses it", SERIES, through(lambda: L.Masking(0.0), dense()), blank=0.0)

# --- activations as layers ------------------------------------------------------------------------------------------
branch("elu", "ELU", "alpha", SERIES, through(dense(), lambda: L.ELU(0.7)))
branch("leaky-relu", "LeakyReLU", "alpha", SERIES, through(dense(), lambda: L.LeakyReLU(0.2), dense(), lambda: L.LeakyReLU()))
branch("prelu", "PReLU", "shared axes, one slope per step", SERIES, through(lambda: L.PReLU(shared_axes=[1]), dense(), lambda: L.PReLU()))
branch("prelu-image", "PReLU", "shared over height and width", IMAGE, through(lambda: L.PReLU(shared_axes=[1, 2])))
branch("relu", "ReLU", "max_value, negative_slope, threshold", SERIES, through(lambda: L.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.2), dense(), lambda: L.ReLU(), dense(), lambda: L.ReLU(6.0)))
branch("softmax", "Softmax", "axis", SERIES, through(lambda: L.Softmax(axis=1), dense(), lambda: L.Softmax()))
branch("softmax-axes", "Softmax", "two axes", SERIES, through(lambda: L.Softmax(axis=[1, 2])))
branch("thresholded-relu", "ThresholdedReLU", "theta", SERIES, through(dense(), lambda: L.ThresholdedReLU(0.3)))

# --- convolutions ---------------------------------------------------------------------------------------------------
branch("conv1d", "Conv1D", "causal, dilated, strided", SERIES, through(lambda: L.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu"), lambda: L.Conv1D(3, 2, strides=2, padding="same", use_bias=False)))
branch("conv1d-groups", "Conv1D", "groups", (8, 4), through(lambda: L.Conv1D(4, 3, groups=2), lambda: L.Conv1D(2, 3, padding="valid")))
branch("conv2d", "Conv2D", "groups, strides, dilation", IMAGE, through(lambda: L.Conv2D(4, 3, groups=2, padding="same"), lambda: L.Conv2D(3, (2, 1), strides=2, activation="elu"), lambda: L.Conv2D(2, 2, dilation_rate=2, padding="same")))
branch("conv3d", "Conv3D", "same and strided", VOLUME, through(lambda: L.Conv3D(3, 2, padding="same"), lambda: L.Conv3D(2, 2, strides=2)))
branch("conv1d-transpose", "Conv1DTranspose", "strides, output_padding", SERIES, through(lambda: L.Conv1DTranspose(3, 3, strides=2, padding="same"), lambda: L.Conv1DTranspose(2, 3, strides=2, output_padding=1)))
branch("conv1d-transpose-dilated", "Conv1DTranspose", "dilated", SERIES, through(lambda: L.Conv1DTranspose(3, 3, dilation_rate=2, padding="valid")))
branch("conv2d-transpose", "Conv2DTranspose", "strides, output_padding", (4, 4, 2), through(lambda: L.Conv2DTranspose(3, 3, strides=2, padding="same", output_padding=1), lambda: L.Conv2DTranspose(2, 2)))
branch("conv3d-transpose", "Conv3DTranspose", "strides", (3, 3, 3, 2), through(lambda: L.Conv3DTranspose(2, 2, strides=2, padding="same"), lambda: L.Conv3DTranspose(1, 2)))
branch("depthwise-conv1d", "DepthwiseConv1D", "multiplier, dilation", SERIES, through(lambda: L.DepthwiseConv1D(3, depth_multiplier=2, padding="same"), lambda: L.DepthwiseConv1D(2, dilation_rate=2)))
branch("depthwise-conv2d", "DepthwiseConv2D", "multiplier, strides", IMAGE, through(lambda: L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu"), lambda: L.DepthwiseConv2D(2, strides=2)))
branch("separable-conv1d", "SeparableConv1D", "valid, same, multiplier", SERIES, through(lambda: L.SeparableConv1D(4, 3, depth_multiplier=2, padding="same"), lambda: L.SeparableConv1D(3, 2, dilation_rate=2)))
branch("separable-conv1d-causal", "SeparableConv1D", "causal", SERIES, through(lambda: L.SeparableConv1D(4, 3, padding="causal", dilation_rate=2), lambda: L.SeparableConv1D(3, 2, padding="causal", activation="tanh")))
branch("separable-conv2d", "SeparableConv2D", "multiplier, strides", IMAGE, through(lambda: L.SeparableConv2D(4, 3, depth_multiplier=2, padding="same", depthwise_regularizer="l2"), lambda: L.SeparableConv2D(3, 2, strides=2)))
for lost, shape in (("LocallyConnected1D", SERIES), ("LocallyConnected2D", IMAGE)):
    branch(lost.lower().replace("connected", "-connected"), lost, "default", shape, through(lambda n=lost: getattr(L, n)(2, 2)), refused=lost)

# --- pooling, padding, cropping, resampling, reshaping -----------------------------------------------------------------
for dimensions, shape in ((1, (12, 3)), (2, (7, 7, 2)), (3, (5, 5, 5, 2))):
    for pooling in ("MaxPooling", "AveragePooling"):
        branch("%s%dd" % (pooling.lower().replace("pooling", "-pooling"), dimensions), "%s%dD" % (pooling, dimensions), "same and valid, strides", shape, through(
            lambda p=pooling, d=dimensions: getattr(L, "%s%dD" % (p, d))(2, strides=1, padding="same"), lambda p=pooling, d=dimensions: getattr(L, "%s%dD" % (p, d))(2)))
        whole = "Global%s%dD" % (pooling, dimensions)
        branch("global-%s%dd" % (pooling.lower().replace("pooling", "-pooling"), dimensions), whole, "default", shape, through(lambda w=whole: getattr(L, w)()))
        branch("global-%s%dd-keepdims" % (pooling.lower().replace("pooling", "-pooling"), dimensions), whole, "keepdims", shape, through(lambda w=whole: getattr(L, w)(keepdims=True)), since=(2, 6))
    branch("zero-padding%dd" % dimensions, "ZeroPadding%dD" % dimensions, "one number, pairs", shape, through(
        lambda d=dimensions: getattr(L, "ZeroPadding%dD" % d)(1), lambda d=dimensions: getattr(L, "ZeroPadding%dD" % d)((1, 2) if d == 1 else ((1, 0),) * d)))
    branch("cropping%dd" % dimensions, "Cropping%dD" % dimensions, "one number, pairs", shape, through(
        lambda d=dimensions: getattr(L, "Cropping%dD" % d)(1), lambda d=dimensions: getattr(L, "Cropping%dD" % d)((1, 0) if d == 1 else ((1, 0),) * d)))
branch("channels-first-1d", "MaxPooling1D AveragePooling1D GlobalAveragePooling1D", "channels_first", (3, 12), through(lambda: L.MaxPooling1D(2, data_format="channels_first"), lambda: L.Permute((2, 1))))
branch("global-channels-first", "GlobalAveragePooling1D", "channels_first", (3, 12), through(lambda: L.GlobalAveragePooling1D(data_format="channels_first")))
branch("global-max-channels-first", "GlobalMaxPooling2D GlobalMaxPooling1D", "channels_first", (3, 5, 5), through(lambda: L.GlobalMaxPooling2D(data_format="channels_first")))
branch("up-sampling1d", "UpSampling1D", "size", SERIES, through(lambda: L.UpSampling1D(2)))
for way in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area", "gaussian", "mitchellcubic"):
    lost = ("area", "gaussian", "mitchellcubic")
    branch("up-sampling2d-" + way, "UpSampling2D", way, (4, 4, 2), through(lambda w=way: L.UpSampling2D((2, 3), interpolation=w)), either=way in lost, since=(2, 0) if way in ("nearest", "bilinear") else (2, 8))
    branch("resizing-" + way, "Resizing", way, (5, 6, 2), through(lambda w=way: L.Resizing(7, 4, interpolation=w)), either=way in lost)
branch("resizing-crop", "Resizing", "crop_to_aspect_ratio", (6, 9, 2), through(lambda: L.Resizing(4, 4, crop_to_aspect_ratio=True)), since=(2, 8))
branch("up-sampling3d", "UpSampling3D", "size", (2, 3, 2, 2), through(lambda: L.UpSampling3D((2, 1, 2))))
branch("flatten", "Flatten", "default", IMAGE, through(lambda: L.Flatten()))
branch("flatten-channels-first", "Flatten", "channels_first", IMAGE, through(lambda: L.Flatten(data_format="channels_first")))
branch("permute", "Permute", "two axes, three axes", IMAGE, through(lambda: L.Permute((3, 1, 2)), lambda: L.Permute((2, 3, 1))))
branch("reshape", "Reshape", "given and inferred sizes", SERIES, through(lambda: L.Reshape((4, 6)), lambda: L.Reshape((-1, 3))))
branch("repeat-vector", "RepeatVector", "n", VECTOR, through(dense(), lambda: L.RepeatVector(5)))

# --- normalization, regularization ------------------------------------------------------------------------------------
branch("batch-normalization", "BatchNormalization", "defaults, no center, no scale", SERIES, through(lambda: L.BatchNormalization(), dense(), lambda: L.BatchNormalization(center=False, epsilon=0.1), dense(), lambda: L.BatchNormalization(scale=False)))
branch("batch-normalization-axis", "BatchNormalization", "axis 1", SERIES, through(lambda: L.BatchNormalization(axis=1)))
branch("batch-normalization-image", "BatchNormalization", "axis 1 and -1 of an image", IMAGE, through(lambda: L.BatchNormalization(axis=1), lambda: L.BatchNormalization()))
branch("batch-normalization-renorm", "BatchNormalization", "renorm", SERIES, through(lambda: L.BatchNormalization(renorm=True)), either=True)
branch("batch-normalization-v1", "BatchNormalization", "compat.v1", SERIES, through(lambda: tf.compat.v1.keras.layers.BatchNormalization()))
branch("batch-normalization-frozen", "BatchNormalization", "trainable=False", SERIES, through(lambda: L.BatchNormalization(trainable=False)))
branch("sync-batch-normalization", "SyncBatchNormalization", "default", SERIES, through(lambda: keras.layers.experimental.SyncBatchNormalization()))
branch("batch-normalization-synchronized", "BatchNormalization", "synchronized", SERIES, through(lambda: L.BatchNormalization(synchronized=True)), since=(2, 12))
branch("layer-normalization", "LayerNormalization", "axes, no center, no scale", SERIES, through(
    lambda: L.LayerNormalization(), lambda: L.LayerNormalization(axis=1), lambda: L.LayerNormalization(axis=[1, 2], epsilon=0.01), lambda: L.LayerNormalization(center=False), lambda: L.LayerNormalization(scale=False)))
branch("layer-normalization-minus-two", "LayerNormalization", "axis [-2, -1]", SERIES, through(lambda: L.LayerNormalization(axis=[-2, -1])))
branch("group-normalization", "GroupNormalization", "groups", (8, 4), through(lambda: L.GroupNormalization(2), lambda: L.GroupNormalization(4, epsilon=0.1, center=False), lambda: L.GroupNormalization(1)))
branch("group-normalization-instance", "GroupNormalization", "groups=-1, axis 1", IMAGE, through(lambda: L.GroupNormalization(-1), lambda: L.GroupNormalization(3, axis=1)))
branch("unit-normalization", "UnitNormalization", "axes", SERIES, through(lambda: L.UnitNormalization(), dense(), lambda: L.UnitNormalization(axis=1), dense(), lambda: L.UnitNormalization(axis=[1, 2])))
branch("spectral-normalization", "SpectralNormalization", "Dense and Conv1D", SERIES, through(lambda: L.SpectralNormalization(L.Dense(4)), lambda: L.SpectralNormalization(L.Conv1D(3, 2), power_iterations=2)))
branch("spectral-normalization-image", "SpectralNormalization", "Conv2D", IMAGE, through(lambda: L.SpectralNormalization(L.Conv2D(3, 2))))
for noise in "AlphaDropout Dropout GaussianDropout GaussianNoise SpatialDropout1D".split():
    branch(re.sub(r"(?<=[a-z])(?=[A-Z])", "-", noise).lower(), noise, "a rate", SERIES, through(lambda n=noise: getattr(L, n)(0.3)))
branch("dropout-noise-shape", "Dropout AlphaDropout", "noise_shape, seed", SERIES, through(lambda: L.Dropout(0.3, noise_shape=(None, 1, 3), seed=4), lambda: L.AlphaDropout(0.2, noise_shape=(1, 8, 3))))
branch("spatial-dropout2d", "SpatialDropout2D", "data_format", IMAGE, through(lambda: L.SpatialDropout2D(0.3), lambda: L.SpatialDropout2D(0.2, data_format="channels_first")))
branch("spatial-dropout3d", "SpatialDropout3D", "a rate", VOLUME, through(lambda: L.SpatialDropout3D(0.3)))

# --- recurrent --------------------------------------------------------------------------------------------------------
for name in ("LSTM", "GRU", "SimpleRNN"):
    layer = lambda units=3, name=name, **more: (lambda: getattr(L, name)(units, **more))  # noqa: E731
    low = name.lower().replace("simplernn", "simple-rnn")
    branch(low, name, "sequences, last step, no bias, backwards", SERIES, through(layer(4, return_sequences=True), layer(3, return_sequences=True, go_backwards=True), layer(3, use_bias=False)))
    branch(low + "-settings", name, "unroll, dropouts, activation, regularizers", SERIES, through(layer(4, return_sequences=True, unroll=True, activation="relu"), layer(3, dropout=0.2, recurrent_dropout=0.1, kernel_regularizer="l2", recurrent_constraint="max_norm")))
    branch(low + "-stateful", name, "stateful", SERIES, through(layer(4, return_sequences=True, stateful=True), layer(3, stateful=True)), batch=3)
    branch(low + "-state", name, "return_state", SERIES, lambda x, layer=layer: L.Concatenate()(layer(3, return_state=True)()(x)))
    branch(low + "-cell", "RNN %sCell" % name, "RNN over a cell", SERIES, through(lambda n=name: L.RNN(getattr(L, n + "Cell")(3), return_sequences=True), lambda n=name: L.RNN(getattr(L, n + "Cell")(3, dropout=0.1), go_backwards=True)))
    branch("bidirectional-" + low, "Bidirectional " + name, "concat, sum, mul, ave", SERIES, through(*[
        (lambda merge=merge, layer=layer: L.Bidirectional(layer(3, return_sequences=True)(), merge_mode=merge)) for merge in ("concat", "sum", "mul", "ave")]))
    branch("bidirectional-last-" + low, "Bidirectional " + name, "last step", SERIES, through(lambda layer=layer: L.Bidirectional(layer(3)())))
for name in ("LSTM", "GRU"):
    branch(name.lower() + "-hard-sigmoid", name, "recurrent_activation hard_sigmoid", SERIES, through(*[
        (lambda n=name, more=more: getattr(L, n)(3, return_sequences=True, recurrent_activation="hard_sigmoid", **more)) for more in ({}, {"activation": "hard_sigmoid" if name == "GRU" else "tanh"}, {"use_bias": False})]))
    branch(name.lower() + "-v1", name, "compat.v1", SERIES, through(lambda n=name: getattr(tf.compat.v1.keras.layers, n)(3, return_sequences=True), lambda n=name: getattr(tf.compat.v1.keras.layers, n)(2)))
    branch("bidirectional-hard-sigmoid-" + name.lower(), "Bidirectional " + name, "hard_sigmoid inside", SERIES, through(lambda n=name: L.Bidirectional(getattr(L, n)(3, recurrent_activation="hard_sigmoid"))))
    branch("rnn-hard-sigmoid-" + name.lower(), "RNN", "a cell with hard_sigmoid", SERIES, through(lambda n=name: L.RNN(getattr(L, n + "Cell")(3, recurrent_activation="hard_sigmoid"))))
branch("lstm-hard-sigmoid-state", "LSTM", "activation hard_sigmoid", SERIES, through(lambda: L.LSTM(3, activation="hard_sigmoid")), refused="hard sigmoid")
branch("gru-reset-before", "GRU", "reset_after=False", SERIES, through(lambda: L.GRU(4, reset_after=False, return_sequences=True), lambda: L.GRU(3, reset_after=False, recurrent_activation="hard_sigmoid")))
branch("lstm-no-unit-forget", "LSTM", "unit_forget_bias=False, implementation=1", SERIES, through(lambda: L.LSTM(3, unit_forget_bias=False, implementation=1)))
branch("lstm-time-major", "LSTM", "time_major", SERIES, through(lambda: L.LSTM(3, time_major=True)), refused="time_major", alone=True)
branch("stacked-rnn-cells", "RNN StackedRNNCells", "three cells, two cells", SERIES, through(lambda: L.RNN([L.LSTMCell(3), L.GRUCell(4), L.SimpleRNNCell(2)], return_sequences=True), lambda: L.RNN([L.LSTMCell(3), L.LSTMCell(2)])))
branch("stacked-rnn-cells-bidirectional", "Bidirectional StackedRNNCells", "stacked cells in both directions", SERIES, through(lambda: L.Bidirectional(L.RNN([L.LSTMCell(3), L.GRUCell(2)]))))


def bidirectional_apart(x):
    forward, backward = L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode=None)(x)
    return L.Subtract()([forward, backward])


branch("bidirectional-none", "Bidirectional", "merge_mode=None", SERIES, bidirectional_apart)
branch("bidirectional-backward-layer", "Bidirectional", "a backward_layer of its own", SERIES, through(lambda: L.Bidirectional(L.LSTM(3, return_sequences=True), backward_layer=L.GRU(3, return_sequences=True, go_backwards=True))))
branch("bidirectional-state", "Bidirectional", "return_state", SERIES, lambda x: L.Concatenate()(L.Bidirectional(L.LSTM(3, return_state=True))(x)))
branch("encoder-decoder", "LSTM", "initial_state of another layer", [SERIES, SERIES], lambda x: (lambda states: L.LSTM(3, return_sequences=True)(x[1], initial_state=states))(L.LSTM(3, return_state=True)(x[0])[1:]))
branch("encoder-decoder-gru", "GRU", "initial_state of another layer", [SERIES, SERIES], lambda x: L.GRU(3)(x[1], initial_state=L.GRU(3, return_state=True)(x[0])[1]))
branch("encoder-decoder-bidirectional", "Bidirectional", "initial_state of another layer", [SERIES, SERIES], lambda x: L.Bidirectional(L.LSTM(3, return_sequences=True))(x[1], initial_state=L.Bidirectional(L.LSTM(3, return_state=True))(x[0])[1:]))
for dimensions, shape in ((1, (4, 6, 2)), (2, (3, 5, 5, 2)), (3, (2, 3, 3, 3, 1))):
    kind = "ConvLSTM%dD" % dimensions
    branch("conv-lstm%dd" % dimensions, kind, "sequences, last step, strides", shape, through(lambda k=kind: getattr(L, k)(3, 2, return_sequences=True, padding="same"), lambda k=kind: getattr(L, k)(2, 2, recurrent_activation="sigmoid")))
    branch("conv-lstm%dd-settings" % dimensions, kind, "backwards, dropout, unit_forget_bias=False", shape, through(lambda k=kind: getattr(L, k)(2, 2, go_backwards=True, dropout=0.1, unit_forget_bias=False, activation="relu")))

# --- wrappers -----------------------------------------------------------------------------------------------------------
WINDOWS = (4, 6, 2)
branch("time-distributed", "TimeDistributed", "Dense, Conv1D, LSTM", WINDOWS, through(lambda: L.TimeDistributed(L.Dense(3, activation="relu")), lambda: L.TimeDistributed(L.Conv1D(3, 2)), lambda: L.TimeDistributed(L.LSTM(3))))
branch("time-distributed-image", "TimeDistributed", "Conv2D, BatchNormalization, pooling, Flatten", (3, 6, 6, 1), through(lambda: L.TimeDistributed(L.Conv2D(3, 3)), lambda: L.TimeDistributed(L.BatchNormalization()), lambda: L.TimeDistributed(L.MaxPooling2D(2)), lambda: L.TimeDistributed(L.Flatten())))
branch("time-distributed-twice", "TimeDistributed", "in another TimeDistributed", WINDOWS, through(lambda: L.TimeDistributed(L.TimeDistributed(L.Dense(3))), lambda: L.TimeDistributed(L.Bidirectional(L.GRU(2)))))
branch("time-distributed-tcn", "TimeDistributed", "a TCN inside", WINDOWS, through(lambda: L.TimeDistributed(TCN(3, kernel_size=2, dilations=[1, 2]))))
branch("time-distributed-hard-sigmoid", "TimeDistributed", "hard_sigmoid inside", WINDOWS, through(lambda: L.TimeDistributed(L.Dense(3, activation="hard_sigmoid")), lambda: L.TimeDistributed(L.LSTM(2, recurrent_activation="hard_sigmoid"))))


def functional_inside(x):
    i = keras.Input((6, 2))
    return L.TimeDistributed(keras.Model(i, L.GlobalMaxPooling1D()(L.Conv1D(3, 2, activation="relu")(i))))(x)


def residual_inside(x):
    i = keras.Input((6, 2))
    return L.TimeDistributed(keras.Model(i, L.GlobalAveragePooling1D()(L.Add()([L.Dense(2, activation="tanh")(i), i]))))(x)


branch("time-distributed-model", "TimeDistributed", "a functional model that is a chain", WINDOWS, functional_inside)
branch("time-distributed-graph", "TimeDistributed", "a functional model that is no chain", WINDOWS, residual_inside)
branch("time-distributed-sequential", "TimeDistributed", "a Sequential model", WINDOWS, through(lambda: L.TimeDistributed(keras.Sequential([keras.Input((6, 2)), L.Dense(3), L.LSTM(2)]))))
branch("bidirectional-tcn", "Bidirectional", "a TCN inside", SERIES, through(lambda: L.Bidirectional(TCN(3, kernel_size=2, dilations=[1, 2], return_sequences=True))))
branch("not-trainable-inside", "TimeDistributed Bidirectional", "trainable=False inside", SERIES, through(lambda: L.TimeDistributed(L.Dense(3, trainable=False)), lambda: L.Bidirectional(L.LSTM(2, trainable=False, return_sequences=True)), lambda: L.Bidirectional(L.LSTM(2), trainable=False)))


# --- merging, attention ---------------------------------------------------------------------------------------------
def merged(make, count=2):
    return lambda x: make()([x] + [L.Dense(3, activation="tanh")(x) for _ in range(count - 1)])


for name in "Add Average Maximum Minimum Multiply Subtract Concatenate".split():
    branch(name.lower(), name, "two inputs", SERIES, merged(lambda n=name: getattr(L, n)()))
    if name != "Subtract":
        branch(name.lower() + "-three", name, "three inputs", SERIES, merged(lambda n=name: getattr(L, n)(), 3))
    if name != "Concatenate":
        branch(name.lower() + "-broadcast", name, "a vector and a sequence", SERIES, lambda x, n=name: getattr(L, n)()([x, L.Dense(3)(L.GlobalMaxPooling1D(keepdims=True)(x))]), since=(2, 6))
branch("concatenate-axes", "Concatenate", "axis 1, axis 2", SERIES, lambda x: L.Concatenate(axis=2)([L.Concatenate(axis=1)([x, L.Dense(3)(x)])] * 2))
branch("dot", "Dot", "axes, normalize", SERIES, lambda x: L.Concatenate()([L.Dot(axes=(2, 2))([x, L.Dense(3)(x)]), L.Dot(axes=2, normalize=True)([x, L.Dense(3)(x)])]))
branch("dot-vectors", "Dot", "vectors", VECTOR, lambda x: L.Concatenate()([L.Dot(axes=1)([L.Dense(4)(x), L.Dense(4)(x)]), L.Dot(axes=-1, normalize=True)([L.Dense(4)(x), L.Dense(4)(x)]), L.Dense(2)(x)]))
branch("merge-functions", "Add Multiply Concatenate", "as functions", SERIES, lambda x: keras.layers.concatenate([keras.layers.add([x, L.Dense(3)(x)]), keras.layers.multiply([x, L.Dense(3)(x)])], axis=-1))
branch("attention", "Attention", "default, with a scale", [SERIES, SERIES], lambda x: L.Attention(use_scale=True)([L.Attention()(x), x[1]]))
branch("attention-key", "Attention", "a key of its own", [SERIES, SERIES], lambda x: L.Attention()([x[0], x[1], L.Dense(3)(x[1])]))
branch("attention-concat", "Attention", "score_mode concat", [SERIES, SERIES], lambda x: L.Attention(score_mode="concat", use_scale=True)(x), since=(2, 8))
branch("attention-causal", "Attention", "causal", [SERIES, SERIES], lambda x: L.Attention(**({} if ENVIRONMENT > "tf210" and ENVIRONMENT != "tf24" else {"causal": True}))(x, **({"use_causal_mask": True} if ENVIRONMENT > "tf210" and ENVIRONMENT != "tf24" else {})))
branch("attention-scores", "Attention", "return_attention_scores", [SERIES, SERIES], lambda x: L.Concatenate()(list(L.Attention(dropout=0.1)(x, return_attention_scores=True))), since=(2, 5))
branch("additive-attention", "AdditiveAttention", "with and without a scale", [SERIES, SERIES], lambda x: L.AdditiveAttention(use_scale=False)([L.AdditiveAttention()(x), x[1]]))
branch("multi-head-attention", "MultiHeadAttention", "self and cross, value_dim", [SERIES, SERIES], lambda x: L.MultiHeadAttention(2, 4, value_dim=3)(L.MultiHeadAttention(2, 3, dropout=0.1)(x[0], x[0]), x[1]))
branch("multi-head-attention-output", "MultiHeadAttention", "output_shape, no bias, key", [SERIES, SERIES], lambda x: L.MultiHeadAttention(2, 3, output_shape=5, use_bias=False)(x[0], x[1], L.Dense(4)(x[1])))
branch("multi-head-attention-causal", "MultiHeadAttention", "use_causal_mask", SERIES, lambda x: L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True), since=(2, 10))
branch("multi-head-attention-axes", "MultiHeadAttention", "attention over two axes", (3, 4, 5), lambda x: L.MultiHeadAttention(2, 3, attention_axes=(1, 2))(x, x))
branch("multi-head-attention-scores", "MultiHeadAttention", "return_attention_scores", SERIES, lambda x: (lambda pair: L.Concatenate()([pair[0], L.Reshape((8, 16))(L.Permute((2, 1, 3))(pair[1]))]))(L.MultiHeadAttention(2, 3)(x, x, return_attention_scores=True)))

# --- preprocessing ------------------------------------------------------------------------------------------------------
def adapted(**more):
    def build(x):
        layer = L.Normalization(**more)
        layer.adapt(np.random.RandomState(5).normal(2.0, 3.0, (50,) + tuple(int(n) for n in x.shape[1:])).astype("float32"))
        return layer(x)

    return build


branch("normalization", "Normalization", "adapted", SERIES, adapted())
branch("normalization-axis", "Normalization", "adapted along axis 1", SERIES, adapted(axis=1))
branch("normalization-none", "Normalization", "adapted, axis=None", SERIES, adapted(axis=None))
branch("normalization-axes", "Normalization", "adapted along two axes", SERIES, adapted(axis=(1, 2)))
branch("normalization-given", "Normalization", "mean and variance given", SERIES, through(lambda: L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])))
branch("normalization-one", "Normalization", "one mean for all", SERIES, through(lambda: L.Normalization(mean=0.3, variance=2.0, axis=None)))
branch("normalization-invert", "Normalization", "invert", SERIES, through(lambda: L.Normalization(mean=0.3, variance=2.0, axis=None, invert=True)), since=(2, 10))
branch("rescaling", "Rescaling", "scale, offset, one for each channel", SERIES, through(lambda: L.Rescaling(2.0, 0.3), lambda: L.Rescaling([1.0, 2.0, 0.5], [0.1, 0.2, 0.3])))
branch("discretization", "Discretization", "int", SERIES, through(lambda: L.Discretization(bin_boundaries=[-0.5, 0.1, 0.7])), cast=True)
branch("discretization-adapted", "Discretization", "adapted", SERIES, lambda x: (lambda layer: (layer.adapt(np.random.RandomState(3).normal(size=(40, 8, 3)).astype("float32")), layer(x))[1])(L.Discretization(num_bins=4)), cast=True, since=(2, 6))
for mode in ("one_hot", "multi_hot", "count"):
    branch("discretization-" + mode.replace("_", "-"), "Discretization", mode, (1,), through(lambda m=mode: L.Discretization(bin_boundaries=[-0.5, 0.1, 0.7], output_mode=m)), cast=True, since=(2, 8))
    branch("category-encoding-" + mode.replace("_", "-"), "CategoryEncoding", mode, (1,) if mode == "one_hot" else (4,), through(lambda m=mode: L.CategoryEncoding(num_tokens=5, output_mode=m)), numbers=5, since=(2, 6))
    branch("integer-lookup-" + mode.replace("_", "-"), "IntegerLookup", mode, (1,), through(lambda m=mode: L.IntegerLookup(vocabulary=[3, 1, 7], output_mode=m)), numbers=9, cast=True, integers=True, since=(2, 8))
branch("hashing", "Hashing", "bins", (4,), through(lambda: L.Hashing(5)), numbers=9, cast=True, integers=True)
branch("hashing-salt", "Hashing", "salt", (4,), through(lambda: L.Hashing(7, salt=[3, 4])), numbers=9, cast=True, integers=True)
branch("hashed-crossing", "HashedCrossing", "int", [(1,), (1,)], lambda x: L.HashedCrossing(7)(x), numbers=9, cast=True, integers=True)
branch("hashed-crossing-one-hot", "HashedCrossing", "one_hot", [(1,), (1,)], lambda x: L.HashedCrossing(7, output_mode="one_hot")(x), numbers=9, cast=True, integers=True)
branch("integer-lookup", "IntegerLookup", "vocabulary given", (4,), through(lambda: L.IntegerLookup(vocabulary=[3, 1, 7])), numbers=9, cast=True, integers=True)
branch("integer-lookup-adapted", "IntegerLookup", "adapted", (4,), lambda x: (lambda layer: (layer.adapt(np.array([[1], [5], [5], [2]])), layer(x))[1])(L.IntegerLookup()), numbers=9, cast=True, integers=True)
branch("string-lookup", "StringLookup", "vocabulary given", (4,), through(lambda: L.StringLookup(vocabulary=["a", "b", "c"])), words="a b c d".split(), cast=True)
branch("string-lookup-multi-hot", "StringLookup", "multi_hot", (4,), through(lambda: L.StringLookup(vocabulary=["a", "b", "c"], output_mode="multi_hot")), words="a b c d".split(), cast=True, since=(2, 8))
branch("text-vectorization", "TextVectorization", "vocabulary given", (1,), through(lambda: L.TextVectorization(vocabulary=["big", "dog"], output_sequence_length=4)), words=["a big dog", "Dog", "the BIG one!", "dog dog"], cast=True, since=(2, 6))
branch("center-crop", "CenterCrop", "smaller and larger", (7, 6, 2), through(lambda: L.CenterCrop(4, 4)))
branch("center-crop-larger", "CenterCrop", "larger than the image", (4, 4, 2), through(lambda: L.CenterCrop(6, 6)))
branch("random-crop", "RandomCrop", "smaller", (7, 8, 2), through(lambda: L.RandomCrop(4, 4)))
branch("random-crop-larger", "RandomCrop", "larger than the image", (4, 4, 2), through(lambda: L.RandomCrop(6, 5)))
branch("random-brightness", "RandomBrightness", "factor", IMAGE, through(lambda: L.RandomBrightness(0.2)))
branch("random-contrast", "RandomContrast", "factor", IMAGE, through(lambda: L.RandomContrast(0.2)))
branch("random-flip", "RandomFlip", "mode", IMAGE, through(lambda: L.RandomFlip("horizontal"), lambda: L.RandomFlip()))
branch("random-rotation", "RandomRotation", "factor, fill_mode", IMAGE, through(lambda: L.RandomRotation(0.2, fill_mode="constant"), lambda: L.RandomRotation((-0.2, 0.3), interpolation="nearest")))
branch("random-translation", "RandomTranslation", "factors", IMAGE, through(lambda: L.RandomTranslation(0.2, (-0.1, 0.3))))
branch("random-zoom", "RandomZoom", "factors", IMAGE, through(lambda: L.RandomZoom(0.2), lambda: L.RandomZoom((-0.2, 0.1), (0.1, 0.2))))
for name in ("RandomHeight", "RandomWidth"):
    branch(name.lower().replace("random", "random-"), name, "factor", IMAGE, through(lambda n=name: getattr(L, n)(0.2), lambda: L.GlobalMaxPooling2D()), alone=True)
branch("dense-features", "DenseFeatures", "numeric column", VECTOR, lambda x: L.DenseFeatures([tf.feature_column.numeric_column("a", (6,))])({"a": x}), refused="DenseFeatures")
branch("random-fourier-features", "RandomFourierFeatures", "default", VECTOR, through(lambda: L.RandomFourierFeatures(4)), refused="RandomFourierFeatures")


# --- masks --------------------------------------------------------------------------------------------------------------
def masked(*makers):
    return through(lambda: L.Masking(0.0), *makers, lstm())


MASKED = {
    "dense": dense(), "dropout": lambda: L.Dropout(0.2), "activation": lambda: L.Activation("tanh"), "elu": lambda: L.ELU(), "leaky-relu": lambda: L.LeakyReLU(), "prelu": lambda: L.PReLU(), "relu": lambda: L.ReLU(), "thresholded-relu": lambda: L.ThresholdedReLU(0.1),
    "hard-sigmoid": lambda: L.Activation("hard_sigmoid"), "batch-normalization": lambda: L.BatchNormalization(), "layer-normalization": lambda: L.LayerNormalization(), "unit-normalization": lambda: L.UnitNormalization(), "gaussian-noise": lambda: L.GaussianNoise(0.1), "spatial-dropout1d": lambda: L.SpatialDropout1D(0.1),
    "normalization": lambda: L.Normalization(mean=0.2, variance=2.0, axis=None), "rescaling": lambda: L.Rescaling(2.0, 0.1), "identity": lambda: L.Identity(), "einsum-dense": lambda: L.EinsumDense("abc,cd->abd", (None, 4)), "conv1d": lambda: L.Conv1D(3, 2), "separable-conv1d-causal": lambda: L.SeparableConv1D(3, 2, padding="causal"),
    "max-pooling1d": lambda: L.MaxPooling1D(2), "up-sampling1d": lambda: L.UpSampling1D(2), "zero-padding1d": lambda: L.ZeroPadding1D(1), "cropping1d": lambda: L.Cropping1D(1), "permute": lambda: L.Permute((2, 1)), "reshape": lambda: L.Reshape((8, 3)), "lstm": lstm(), "gru-backwards": lambda: L.GRU(3, return_sequences=True, go_backwards=True), "bidirectional": lambda: L.Bidirectional(L.LSTM(2, return_sequences=True)),
    "rnn": lambda: L.RNN(L.SimpleRNNCell(3), return_sequences=True), "time-distributed": lambda: L.TimeDistributed(L.Dense(4)), "spectral-normalization": lambda: L.SpectralNormalization(L.Dense(3)), "tcn": lambda: TCN(4, kernel_size=2, dilations=[1, 2], return_sequences=True), "tcn-that-passes": lambda: TCN(3, kernel_size=2, dilations=[1, 2], return_sequences=True, use_skip_connections=False),
}
for name, make in MASKED.items():
    branch("mask-through-" + name, "Masking", "through " + name + " into LSTM", SERIES, masked(make), blank=0.0)
for name in "Add Average Maximum Minimum Multiply Subtract Concatenate".split():
    branch("mask-through-%s-half" % name.lower(), "Masking " + name, "one input masked", SERIES, lambda x, n=name: lstm()()(getattr(L, n)()([L.Masking(0.0)(x), L.Dense(3)(x)])), blank=0.0)
    branch("mask-through-%s" % name.lower(), "Masking " + name, "two masks", [SERIES, SERIES], lambda x, n=name: lstm()()(getattr(L, n)()([L.Masking(0.0)(x[0]), L.Masking(0.0)(x[1])])), blank=0.0)
branch("mask-named-concatenate", "Masking Concatenate", "a layer called concatenate", SERIES, lambda x: lstm()()(L.Concatenate(name="concatenate")([L.Masking(0.0)(x), L.Dense(3)(x)])), blank=0.0, alone=True)
branch("mask-zero-output", "Masking LSTM", "zero_output_for_mask", SERIES, through(lambda: L.Masking(0.0), lambda: L.LSTM(3, return_sequences=True, zero_output_for_mask=True)), blank=0.0, since=(2, 6))
branch("mask-global-average", "Masking GlobalAveragePooling1D", "average of the steps that count", SERIES, through(lambda: L.Masking(0.0), dense(), lambda: L.GlobalAveragePooling1D()), blank=0.0)
branch("mask-attention", "Masking Attention", "query and value", [SERIES, SERIES], lambda x: L.Attention()([L.Masking(0.0)(x[0]), L.Masking(0.0)(x[1])]), blank=0.0)
branch("mask-additive-attention", "Masking AdditiveAttention", "value", [SERIES, SERIES], lambda x: lstm()()(L.AdditiveAttention()([x[0], L.Masking(0.0)(x[1])])), blank=0.0)
branch("mask-multi-head-attention", "Masking MultiHeadAttention", "self attention, then Add and LSTM", SERIES, lambda x: (lambda m: lstm()()(L.Add()([m, L.MultiHeadAttention(2, 3)(m, m)])))(L.Masking(0.0)(x)), blank=0.0)
branch("mask-multi-head-attention-dropout", "Masking MultiHeadAttention", "with dropout", SERIES, lambda x: (lambda m: L.MultiHeadAttention(2, 3, dropout=0.1)(m, m))(L.Masking(0.0)(x)), blank=0.0)
branch("mask-time-distributed-lstm", "Masking TimeDistributed", "windows", WINDOWS, through(lambda: L.Masking(0.0), lambda: L.TimeDistributed(L.LSTM(3)), lstm()), blank=0.0)
branch("mask-initial-state", "Masking LSTM", "initial_state and a mask", [SERIES, SERIES], lambda x: L.LSTM(3, return_sequences=True)(L.Masking(0.0)(x[1]), initial_state=L.LSTM(3, return_state=True)(L.Masking(0.0)(x[0]))[1:]), blank=0.0)
branch("mask-conv-lstm", "Masking ConvLSTM1D", "mask of images", (4, 6, 2), through(lambda: L.Masking(0.0), lambda: L.TimeDistributed(L.Dense(2)), lambda: L.TimeDistributed(L.LSTM(2)), lambda: L.GRU(3)), blank=0.0)
branch("embedding-mask", "Embedding", "mask_zero into LSTM", (8,), through(lambda: L.Embedding(9, 3, mask_zero=True), lstm()), numbers=9)
branch("embedding-mask-tcn", "Embedding", "mask_zero, a TCN that passes, LSTM", (8,), through(lambda: L.Embedding(9, 4, mask_zero=True), lambda: TCN(4, kernel_size=2, dilations=[1, 2], return_sequences=True, use_skip_connections=False), lstm()), numbers=9)
branch("embedding-mask-rescaling", "Embedding Rescaling", "mask_zero through Rescaling", (8,), through(lambda: L.Embedding(9, 3, mask_zero=True), lambda: L.Rescaling(2.0), lstm()), numbers=9)


def masked_model(x):
    i = keras.Input(SERIES)
    return lstm()()(keras.Model(i, L.Dense(3)(L.Masking(0.0)(i)))(x))


def mask_into_model(x):
    i = keras.Input(SERIES)
    return keras.Model(i, lstm()()(L.Dense(3)(i)))(L.Masking(0.0)(x))


branch("mask-out-of-model", "Masking", "made in a nested model, used outside", SERIES, masked_model, blank=0.0)
branch("mask-into-model", "Masking", "made outside, used in a nested model", SERIES, mask_into_model, blank=0.0)


ALSO = (
    "lstm-hard-sigmoid separable-conv1d-causal bidirectional-none encoder-decoder time-distributed-model multi-head-attention-causal mask-through-rescaling mask-through-multiply-half "
    "mask-attention mask-multi-head-attention-dropout mask-time-distributed-lstm mask-into-model embedding-mask-tcn"
).split()
"""Cases for the repository besides the first of each class."""


# --- models -------------------------------------------------------------------------------------------------------------
def model_of(cases, behind):
    inputs, ends = [], []
    for case in cases:
        shapes = case["shape"] if isinstance(case["shape"], list) else [case["shape"]]
        more = {"dtype": "string"} if case.get("words") else {"dtype": "int64"} if case.get("integers") else {}
        own = [keras.Input(shape, batch_size=case.get("batch"), **more) for shape in shapes]
        inputs += own
        x = case["build"](own if len(own) > 1 else own[0])
        if case.get("cast"):
            x = L.Rescaling(0.5)(x) if hasattr(keras.layers, "Rescaling") else tf.cast(x, "float32") * 0.5
        if behind and len(x.shape) == 3:
            x = TCN(4, kernel_size=2, dilations=[1, 2], return_sequences=True)(x)
        ends.append(L.Flatten()(x) if len(x.shape) != 2 else x)
    if not behind or not any(isinstance(layer, TCN) for layer in keras.Model(inputs, ends).layers):
        series = keras.Input((8, 2), name="series", batch_size=cases[0].get("batch"))
        inputs.append(series)
        ends.append(TCN(4, kernel_size=2, dilations=[1, 2] if behind else [1])(series))
    return keras.Model(inputs, L.Dense(3 if behind else 1, name="head")(L.Concatenate(name="features")(ends) if len(ends) > 1 else ends[0]))


def draw(model, rng):
    for layer in model.weights:
        name = re.sub(r"(_\d+)?(:0)?$", "", getattr(layer, "name", "table").split("/")[-1])
        if name == "table" or not layer.dtype.is_floating:
            continue
        shape = tuple(int(n) for n in layer.shape)
        if name in ("count", "mean", "variance", "sn_u", "vector_u"):
            continue
        if name in ("gamma", "moving_variance", "scale", "alpha", "renorm_stddev", "moving_stddev"):
            value = rng.uniform(0.5, 1.5, shape) * (0.4 if name == "alpha" else 1.0)
        elif "kernel" in name:
            value = rng.normal(size=shape) * 1.3 / max(np.prod(shape[:-1]), 1) ** 0.5
        elif name == "embeddings":
            value = rng.normal(size=shape)
        else:
            value = rng.normal(size=shape) * 0.3
        layer.assign(value.astype(layer.dtype.as_numpy_dtype))


def inputs_of(cases, model, rng):
    made = []
    of_case = [case for case in cases for _ in (case["shape"] if isinstance(case["shape"], list) else [0])]
    for case, tensor in zip(of_case + [{}], model.inputs):
        shape = [3] + [int(n) for n in tensor.shape[1:]]
        if case.get("words"):
            made.append(np.array(case["words"])[rng.randint(0, len(case["words"]), shape)])
            continue
        x = rng.randint(0, case["numbers"], shape) if case.get("numbers") else rng.normal(size=shape)
        if "blank" in case:
            gone = rng.rand(*shape[:-1]) < 0.35
            gone[(slice(None),) * (gone.ndim - 1) + (rng.randint(shape[-2]),)] = False
            x = np.where(gone[..., None], case["blank"], x)
        if case.get("numbers") and x.ndim == 2 and x.shape[1] > 1:
            x[:, 0], x[:, -1] = 1, 0
        made.append(x.astype("int64" if case.get("integers") else "float32"))
    return made


def predictions(model, inputs):
    if any(getattr(layer, "stateful", False) is True for layer in model.layers):
        model.reset_states()
    given = [tf.constant(x) if x.dtype.kind == "U" else x for x in inputs]
    return np.asarray(model.predict_on_batch(given if len(given) > 1 else given[0]))


def idle(model, inputs, wanted):
    """How many variables make no difference to the predictions."""
    count = 0
    for variable in model.weights:
        if not hasattr(variable, "name") or not variable.dtype.is_floating or re.search("sn_u|vector_u|renorm|moving_stddev", variable.name):
            continue
        before = variable.numpy()
        variable.assign(before * 0.6 + 0.17)
        count += np.abs(predictions(model, inputs) - wanted).max() <= 1e-4 * wanted.std()
        variable.assign(before)
    return count


def make(name, cases, out, suffix=".h5", behind=True):
    K.clear_session()
    seed = sum(map(ord, name))
    tf.random.set_seed(seed)
    model = model_of(cases, behind)
    rng = np.random.RandomState(seed)
    inputs = inputs_of(cases, model, rng)
    tries = []
    for attempt in range(6):  # a relu may shut off what stands before it: draw until every variable matters
        draw(model, np.random.RandomState(seed + attempt))
        wanted = predictions(model, inputs)
        tries.append((100 * (not np.isfinite(wanted).all() or wanted.std() < 0.03) + idle(model, inputs, wanted), attempt))
        if not tries[-1][0]:
            break
    draw(model, np.random.RandomState(seed + min(tries)[1]))
    wanted = predictions(model, inputs)
    folder = Path(out) / name
    folder.mkdir(parents=True, exist_ok=True)
    if suffix == "":
        model.save(str(folder / "old"), include_optimizer=False, save_traces=False)
    else:
        model.save(str(folder / ("old" + suffix)))
    refused = [case["refused"] for case in cases if case.get("refused")]
    if not refused:
        np.savez_compressed(str(folder / "golden.npz"), y0=wanted.astype("float32"), **{("x%d" if len(inputs) < 11 else "x%02d") % k: x for k, x in enumerate(inputs)})
    record = {
        "source": "old" + suffix, "expect": "refused" if refused else "exact", "mentions": refused, "tags": ["refusal" if refused else "healthy", suffix.strip(".") or "savedmodel", "layers"],
        "made_with": {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": VERSION, "keras_tcn": TCN_VERSION},
        "peculiarity": "; ".join("%s: %s" % (" ".join(case["classes"]), case["settings"]) for case in cases),
        "layers": [[kind, case["settings"]] for case in cases for kind in case["classes"]],
    }
    (folder / "case.json").write_text(json.dumps(record, indent=1) + "\n")
    print("%-44s std %.3f%s" % (name, wanted.std(), " IDLE %d" % min(tries)[0] if min(tries)[0] else ""), flush=True)


def attempt(name, cases, out, **more):
    try:
        make(name, cases, out, **more)
    except Exception as error:
        print("%-44s NOT MADE: %s" % (name, (type(error).__name__ + " " + str(error)).replace("\n", " ")[:140]), flush=True)


def main():
    global TCN_VERSION
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--only", default="")
    parser.add_argument("--suffix", default=".h5", choices=[".h5", ".keras", ""])
    parser.add_argument("--together", action="store_true")
    options = parser.parse_args()
    try:
        from importlib.metadata import version
        TCN_VERSION = version("keras-tcn")
    except Exception:
        TCN_VERSION = "3.4.0"
    now = tuple(int(n) for n in tf.__version__.split(".")[:2])
    chosen = [case for case in CASES.values() if options.only in case["name"] and now >= case.get("since", (2, 0))]
    if not options.together:
        for case in chosen:
            attempt("%s-%s%s" % (ENVIRONMENT, case["name"], {".h5": "", ".keras": "-keras", "": "-savedmodel"}[options.suffix]), [case], options.out, suffix=options.suffix)
        return
    covered = set()
    for case in list(chosen):
        if set(case["classes"]) <= covered and case["name"] not in ALSO:
            chosen.remove(case)
        covered |= set(case["classes"])
    apart = [case for case in chosen if case.get("refused") or case.get("alone") or case.get("either") or case.get("batch") or case.get("words")]
    rest = [case for case in chosen if case not in apart]
    for number in range(0, len(rest), 20):
        group = rest[number:number + 20]
        attempt("%s-%s-to-%s" % (ENVIRONMENT, group[0]["name"], group[-1]["name"]), group, options.out, behind=False)
    for case in apart:
        attempt("%s-%s" % (ENVIRONMENT, case["name"]), [case], options.out)


if __name__ == "__main__":
    main()
