"""Test data `tests/data/subclassed`: the weights of a subclassed model, with its predictions.

    python subclassed.py OUT        (Python 3.11, tensorflow 2.15.1)
"""
import os
import sys
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
import numpy as np  # noqa: E402
from tensorflow import keras  # noqa: E402

OUT = Path(sys.argv[1])


class Classifier(keras.Model):
    def __init__(self):
        super().__init__()
        self.features = keras.layers.Conv1D(4, 2, activation="relu")
        self.norm = keras.layers.BatchNormalization()
        self.pool = keras.layers.GlobalAveragePooling1D()
        self.head = keras.layers.Dense(2)

    def call(self, x):
        return self.head(self.pool(self.norm(self.features(x))))


model, rng = Classifier(), np.random.RandomState(1)
x = rng.normal(size=(3, 6, 3)).astype("float32")
model(x)
model.set_weights([np.abs(rng.normal(size=w.shape)) + 0.1 for w in model.get_weights()])
OUT.mkdir(parents=True)
model.save_weights(str(OUT / "weights.h5"))
np.savez_compressed(str(OUT / "golden.npz"), x0=x, y0=model.predict(x, verbose=0))
