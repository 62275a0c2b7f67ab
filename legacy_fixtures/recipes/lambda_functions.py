"""Functions as Keras stores a Lambda's, in the bytecode of the Python that runs this.

    python lambda_functions.py OUT.json          (Python 3.6 to 3.13; with -OO, docstrings are gone)

Writes name -> [marshalled code in base64, defaults, closure]. `tests/data/lambda_functions.json` holds, by version, what
3.6.15, 3.7.16, 3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1 and 3.13.0 write, each also with -OO (`3.6-OO`). The tests
compare it; they neither run nor unmarshal it.
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


def functions(source):
    scope = {"K": None}
    exec(compile(source, "/home/user/model.py", "exec"), scope)
    return {name: f for name, f in scope.items() if isinstance(f, types.FunctionType) and not name.startswith("make")}


backend = types.ModuleType("keras")
backend.backend = None
sys.modules["keras"] = backend
found = {}
for prefix, source in (("", "from keras import backend as K" + NORMALIZATION + INDEXING + FOREIGN), ("notebook_", NORMALIZATION)):
    for name, f in functions(source).items():
        closure = [cell.cell_contents for cell in f.__closure__] if f.__closure__ else None
        defaults = list(f.__defaults__) if f.__defaults__ else None
        found[prefix + name] = [base64.b64encode(marshal.dumps(f.__code__)).decode(), defaults, closure]
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
