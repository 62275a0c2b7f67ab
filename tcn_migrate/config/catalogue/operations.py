"""The operations on tensors that a config of Keras 3 may hold, by module below `keras.src.ops`.

All `Operation` classes of Keras 3.0.5 and 3.15.1 but those that are called with a function (`Cond`, `Map`, `Scan`,
`WhileLoop`, ...), which stands in the file as code.
"""

from __future__ import annotations

from typing import Any

_PREFIX = "keras.src.ops."

OPERATIONS: dict[str, frozenset[str]] = {
    module: frozenset(names.split())
    for module, names in {
        "core": "Cast ConvertToTensor SaturateCast Scatter ScatterUpdate Slice SliceUpdate StopGradient Unstack",
        "image": (
            "AffineTransform CropImages ElasticTransform ExtractPatches GaussianBlur HSVToRGB MapCoordinates PadImages "
            "PerspectiveTransform RGBToGrayscale RGBToHSV Resize SSIM ScaleAndTranslate SobelEdges"
        ),
        "linalg": (
            "Cholesky CholeskyInverse Det Eig Eigh Inv Lstsq LuFactor MatrixRank Norm Pinv Qr SVD Solve SolveTriangular"
        ),
        "math": (
            "CDist Erf Erfc Erfinv ExtractSequences FFT FFT2 IFFT2 IRFFT ISTFT InTopK Logdet Logsumexp RFFT Rsqrt STFT "
            "SegmentMax SegmentMin SegmentProd SegmentReduction SegmentSum TopK ViewAsComplex ViewAsReal"
        ),
        "nn": (
            "AdaptiveAveragePool AdaptiveMaxPool AveragePool BatchNorm BinaryCrossentropy CTCDecode CTCLoss "
            "CategoricalCrossentropy Celu Conv ConvTranspose CtcLoss DepthToSpace DepthwiseConv DotProductAttention "
            "Elu Fold Gelu Glu HardShrink HardSigmoid HardSilu HardTanh LayerNorm LeakyRelu LogSigmoid LogSoftmax "
            "MaxPool Moments MultiHot Normalize OneHot PSNR Polar RMSNorm Relu Relu6 Selu SeparableConv Sigmoid Silu "
            "SoftShrink Softmax Softplus Softsign SpaceToDepth SparseCategoricalCrossentropy SparsePlus SparseSigmoid "
            "Sparsemax Squareplus TanhShrink Threshold Unfold"
        ),
        "numpy": (
            "Abs Absolute Add All AllClose Amax Amin Angle Any Append Arange Arccos Arccosh Arcsin Arcsinh Arctan "
            "Arctan2 Arctanh Argmax Argmin Argpartition Argsort Array ArraySplit Average Bincount BitwiseAnd "
            "BitwiseInvert BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor BroadcastTo Cbrt "
            "Ceil Clip Concatenate Conj Conjugate Copy Corrcoef Correlate Cos Cosh CountNonzero Cross Cumprod "
            "Cumsum Deg2rad Diag Diagflat Diagonal Diff Digitize Divide DivideNoNan Dot Dsplit Dstack Einsum "
            "Empty EmptyLike Equal Exp Exp2 ExpandDims Expm1 Eye Fabs Flip Fliplr Flipud Floor FloorDivide Fmax "
            "Fmin Fmod Full FullLike Gcd Geomspace GetItem Greater GreaterEqual Heaviside Histogram Hsplit Hstack "
            "Hypot I0 Identity Imag Inner IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal Kron Lcm "
            "Ldexp LeftShift Less LessEqual Linspace Log Log10 Log1p Log2 Logaddexp Logaddexp2 LogicalAnd "
            "LogicalNot LogicalOr LogicalXor Logspace Matmul Max Maximum Mean Median Meshgrid Min Minimum Mod "
            "Moveaxis Multiply NanToNum Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin "
            "Nanpercentile Nanprod Nanquantile Nanstd Nansum Nanvar Ndim Negative Nextafter Nonzero NotEqual Ones "
            "OnesLike Outer Pad Percentile Power Prod Ptp Quantile Rad2deg Ravel Real Reciprocal Repeat Reshape "
            "RightShift Roll Rot90 Round SearchSorted Select Sign Signbit Sin Sinc Sinh Size Slogdet Sort Split "
            "Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh Tensordot Tile Trace "
            "Transpose Trapezoid Tri Tril Triu TrueDivide Trunc Unique UnravelIndex Vander Var Vdot View Vsplit "
            "Vstack Where Zeros ZerosLike"
        ),
        "einops": "Rearrange",
    }.items()
}


MAY_BE_THE_INPUT = frozenset(["BroadcastTo", "Cast", "Moveaxis", "Reshape", "Squeeze", "Swapaxes", "Transpose"])
"""Where nothing changes, a backend of Keras 3 may hand back their very input, mask and all."""


def module_of(class_name: str, config: Any) -> str | None:
    """The module of an operation that was stored without one, as in HDF5 files of Keras 3; None if it is a layer.

    Operations and layers share names (`Add`, `Softmax`). A layer's config always says whether it is trainable.

    Args:
        class_name: as stored.
        config: as stored.
    """
    if not isinstance(config, dict) or "trainable" in config or "batch_shape" in config:
        return None
    return next((_PREFIX + module for module, names in OPERATIONS.items() if class_name in names), None)


def is_operation(module: Any, class_name: Any) -> bool:
    """Whether a module and a class name together are an operation that a migrated file may contain."""
    if not isinstance(module, str) or not isinstance(class_name, str) or not module.startswith(_PREFIX):
        return False
    return class_name in OPERATIONS.get(module.removeprefix(_PREFIX), frozenset())
