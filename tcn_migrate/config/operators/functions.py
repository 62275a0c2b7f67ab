"""What TensorFlow functions that people apply to tensors between layers are in operations of Keras 3.

`FUNCTIONS` is by the function's name without its module: `math.multiply`, `tf.multiply` and a graph's node `Mul` are
all `multiply`. A function has parameters, as TensorFlow 2 names them, and draws its operations. What stands in the
table was compared with TensorFlow 1.15, 2.1, 2.4 and 2.15, by values.
"""

from __future__ import annotations

from tcn_migrate.config.operators.arithmetic import ARITHMETIC
from tcn_migrate.config.operators.arrays import ARRAYS
from tcn_migrate.config.operators.calls import Function
from tcn_migrate.config.operators.images import IMAGES

FUNCTIONS: dict[str, Function] = ARITHMETIC | ARRAYS | IMAGES

ALIASES = {
    "arg_max": "argmax",
    "arg_min": "argmin",
    "div": "divide",
    "eq": "equal",
    "floor_div": "floordiv",
    "floor_mod": "floormod",
    "log_softmax_v2": "log_softmax",
    "mod": "floormod",
    "mul": "multiply",
    "ne": "not_equal",
    "neg": "negative",
    "rint": "round",
    "scalar_mul_v2": "scalar_mul",
    "softmax_v2": "softmax",
    "sub": "subtract",
    "swish": "silu",
    "where_v2": "where",
}
"""Other names of the same functions, over the releases of TensorFlow."""
