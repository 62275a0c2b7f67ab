"""Trained files of Keras before it was a part of TensorFlow, with the next step: `training/*-standalone-*`.

    python standalone_training.py FOLDER        (tensorflow 1.15.0, keras 2.2.4 or 2.3.1, h5py<3, protobuf<3.21)

Adam reads the count of the steps before or after it is incremented, as TensorFlow happens to order the two; the files
that are kept are of runs in which it was read after, as in most.
"""
import sys, os, json, warnings
warnings.simplefilter("ignore"); os.environ["TF_CPP_MIN_LOG_LEVEL"]="3"
import numpy as np, tensorflow as tf
tf.compat.v1.logging.set_verbosity("ERROR")
import keras
folder=sys.argv[1]; os.makedirs(folder,exist_ok=True)
tf.compat.v1.set_random_seed(1)
rng=np.random.RandomState(5)
x=rng.randn(16,9,2).astype("float32"); y=rng.randn(16,1).astype("float32")
i=keras.layers.Input((9,2))
a=keras.layers.Dense(3,name="front",activation="tanh")(i)
b=keras.layers.Conv1D(3,2,padding="same",name="side")(a)
m=keras.models.Model(i,keras.layers.Dense(1,name="head")(keras.layers.Flatten()(b)))
m.compile(keras.optimizers.Adam(0.01),loss="mse")
for k in range(3): m.train_on_batch(x+0.1*k,y)
m.save(os.path.join(folder,"old.h5"))
y0=m.predict(x[:4])
m.train_on_batch(x,y)
np.savez_compressed(os.path.join(folder,"golden.npz"),x0=x[:4],y0=y0)
np.savez_compressed(os.path.join(folder,"next_step.npz"),x=x,y=y,after=m.predict(x))
json.dump({"source":"old.h5","options":[],"expect":"exact","mentions":[],"tags":["healthy","trained","unordered-step"],"made_with":{"python":".".join(map(str,sys.version_info[:3])),"tensorflow":tf.__version__,"keras":keras.__version__},"peculiarity":"trained: Adam, whose variables have no names but numbers; next_step.npz holds a batch and the predictions after the next step on it"},open(os.path.join(folder,"case.json"),"w"),indent=1)
