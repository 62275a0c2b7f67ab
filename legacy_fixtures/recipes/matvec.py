"""Fixture `operators/matvec-tf215`: `tf.linalg.matvec` between layers, which Keras 2 stores as its three steps.

    python matvec.py OUT        Python 3.11, tensorflow 2.15.1
"""
import json
import os
import sys
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow import keras  # noqa: E402

OUT = Path(sys.argv[1])
VECTOR = (np.arange(4) + 0.5).astype("float32")
x = keras.Input((6, 4))
outputs = [
    tf.linalg.matvec(x, x[:, 0]),
    tf.linalg.matvec(x, x[:, :, 0], transpose_a=True),
    tf.linalg.matvec(x, VECTOR),
    tf.linalg.matvec(np.outer(VECTOR, VECTOR), x[:, 0]),
    keras.layers.Dense(3)(x),
]
model = keras.Model(x, outputs)
rng = np.random.RandomState(1)
model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
x = rng.normal(size=(2, 6, 4)).astype("float32")
OUT.mkdir(parents=True)
model.save(str(OUT / "old.h5"))
np.savez_compressed(str(OUT / "golden.npz"), x0=x, **{"y%d" % n: y for n, y in enumerate(model.predict(x, verbose=0))})
case = {
    "source": "old.h5",
    "expect": "exact",
    "tags": ["healthy", "operators"],
    "made_with": {"python": sys.version.split()[0], "tensorflow": tf.__version__, "keras": "2.15.0"},
    "peculiarity": "tf.linalg.matvec on the tensors between layers",
}
(OUT / "case.json").write_text(json.dumps(case, indent=1) + "\n")
