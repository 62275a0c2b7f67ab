"""Functions as Keras stores a Lambda's, in the bytecode of the Python that runs this.

    python lambda_functions.py OUT.json          (Python 3.6 to 3.13; with -OO, docstrings are gone)
    python lambda_functions.py OUT.json formulas (without -OO)

Writes name -> [marshalled code in base64, defaults, closure]. `tests/data/lambda_functions.json` holds, by version, what
3.6.15, 3.7.16, 3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1 and 3.13.0 write, each also with -OO (`3.6-OO`); `tests/data/lambda_formulas.json`
what they write with `formulas`. The tests compare it; they neither run nor unmarshal it.
"""
import base64
import json
import marshal
import sys
import types

NORMALIZATION = '''
def channel_normalization(x):
    """Normalize a layer to the maximum activation."""
    max_values = K.max(K.abs(x), 2, keepdims=True) + 1e-5
    out = x / max_values
    return out
def without_docstring(x):
    max_values = K.max(K.abs(x), 2, keepdims=True) + 1e-5
    out = x / max_values
    return out
def other_epsilon(x):
    """Normalize a layer to the maximum activation."""
    max_values = K.max(K.abs(x), 2, keepdims=True) + 1e-3
    out = x / max_values
    return out
def other_axis(x):
    max_values = K.max(K.abs(x), 1, keepdims=True) + 1e-5
    out = x / max_values
    return out
def other_function(x):
    max_values = K.min(K.abs(x), 2, keepdims=True) + 1e-5
    out = x / max_values
    return out
'''
INDEXING = '''
def last_step(x):
    """The last step."""
    return x[:, -1, :]
def make(i):
    return lambda tt: tt[:, i, :]
def make_chomp(p):
    return lambda x: x[:, :-p, :]
step_closure, first_closure, chomp = make(-1), make(0), make_chomp(3)
last = lambda tt: tt[:, -1, :]
last_of_two = lambda t: t[:, -1]
first = lambda tt: tt[:, 0, :]
tail = lambda x: x[:, 2:, :3]
kept_axis = lambda x: x[:, -1:, :]
backwards = lambda x: x[:, ::-1, :]
channel = lambda x: x[..., 0]
strided = lambda x: x[:, 1::2]
new_axis = lambda x: x[:, None, :]
default = lambda x, i=-2: x[:, i, :]
'''
FOREIGN = '''
scaling = lambda v: v * 0.5 + 1.0
sum_of_two = lambda x: x[:, -1, :] + x[:, 0, :]
of_a_global = lambda x: x[:, N, :]
negated = lambda x: -x[:, -1, :]
mean = lambda x: K.mean(x, axis=1)
twice = lambda x: x[:, -1][0]
any_arguments = lambda *x: x[0]
generator = lambda x: (yield x[:, -1, :])
by_text = lambda x: x["a"]
by_float = lambda x: x[1.0]
of_the_second = lambda x, y: y[:, -1, :]
returns_a_function = lambda x: (lambda y: y[:, -1])
'''
FORMULAS = '''
import math
import numpy as np
import tensorflow as tf
from keras import backend as K
def make(low, high, names):
    return lambda x: K.clip(x, low, high) * names[1]
keywords = lambda x: tf.math.l2_normalize(x, axis=1, epsilon=1e-6) - K.mean(x, axis=[1, 2], keepdims=True)
positions = lambda x: K.max(K.abs(x), 1, True) + tf.nn.softmax(x)
operators = lambda x: 1 - -x ** 2 / 3 % 0.5 // (x @ x)
comparisons = lambda x: tf.where(x > 0, x, tf.cast(x <= -1, tf.float32))
logic = lambda x: ~(x > 0) & (x != 1.0) | (x < 2) ^ (x >= 3)
pair = lambda p: K.concatenate([p[0], p[1]], axis=-1)
lists = lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 0]]) + K.tile(x, (1, 2, 1)) + K.concatenate([x] * 2)
long_list = lambda x: tf.stack([x, x + 1, x + 2, x + 3], axis=0)
sizes = lambda x: tf.reshape(x, [tf.shape(x)[0], -1, K.int_shape(x)[-1], x.shape[1], x.get_shape().as_list()[2]])
indices = lambda x: x[:, 1:, ::-1] + x[..., tf.newaxis] - x[:, :-1] * x[2:]
numbers = lambda x: x * np.sqrt(2.0) + math.pi * float(3) - (2 ** 5 - 1)
array = lambda x: x * np.array([0.25, 4.0])
default = lambda x, factor=2.5, axis=(1, 2): K.sum(x, axis=axis) * factor
closure = make(-1.5, 2, ["a", 3.5])
def local(x):
    """Two names, one used twice."""
    y = K.square(x)
    z = y + y * x
    y = z
    return y
def unpacked(args):
    mean, log_var = args
    mean, log_var = log_var, mean
    return mean + K.exp(log_var / 2)
def three(args):
    a, b, c = args
    a, b, c = c, a, b
    return a - b * c
def added(x):
    x += 1
    x *= 2.0
    x -= x
    x /= 4
    x **= 2
    return x
def imported(x):
    import tensorflow as tf
    import tensorflow.keras.backend as K
    from tensorflow.keras import backend
    from numpy import pi
    return tf.abs(x) + K.abs(x) + backend.abs(x) * pi
two_results = lambda x: (x + 1, [x])
nested_calls = lambda x: K.sqrt(K.maximum(K.sum(K.square(x[0] - x[1]), axis=1, keepdims=True), K.epsilon()))
branch = lambda x: x if x is None else K.abs(x)
chained = lambda x: 0 < x < 1
loop = lambda x: [K.abs(x) for _ in x]
global_value = lambda x: x * SCALE
global_function = lambda x: normalize(x)
unknown_function = lambda x: tf.image.per_image_standardization(K.abs(x))
method = lambda x: K.abs(x).numpy()
stored = lambda x: K.abs(x, **{"a": 1})
formatted = lambda x: K.abs(x, name=f"{x}")
huge = lambda x: x * 10.0 ** 400
by_zero = lambda x, n=0: x * (1 // n)
masked = lambda x, mask=None: x * mask
missing = lambda x, y: x * y
'''


def functions(source):
    scope = {"K": None}
    exec(compile(source, "/home/user/model.py", "exec"), scope)
    return {name: f for name, f in scope.items() if isinstance(f, types.FunctionType) and not name.startswith("make")}


class Anything(types.ModuleType):
    """A module that has whatever is asked of it: the functions are compiled, never called."""

    __path__ = []

    def __getattr__(self, name):
        return None


for module in ("keras", "numpy", "tensorflow", "tensorflow.keras"):
    sys.modules[module] = Anything(module)
found = {}
SOURCES = (("", "from keras import backend as K" + NORMALIZATION + INDEXING + FOREIGN), ("notebook_", NORMALIZATION))
if sys.argv[2:] == ["formulas"]:
    SOURCES = (("", FORMULAS),)
for prefix, source in SOURCES:
    for name, f in functions(source).items():
        closure = [cell.cell_contents for cell in f.__closure__] if f.__closure__ else None
        defaults = list(f.__defaults__) if f.__defaults__ else None
        found[prefix + name] = [base64.b64encode(marshal.dumps(f.__code__)).decode(), defaults, closure]
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
