"""Trained old files with the old library's next step: what `training/` holds.

    python training.py FOLDER old.h5|old.keras|old OPTIMIZER KERAS_TCN_RELEASE [frozen] [bn]

Runs in an environment of its day. `next_step.npz` holds a batch, and the predictions after one more step on it. Batch
norm goes with SGD only: before it a bias has no gradient but rounding, which an adaptive optimizer makes a step of.
"""
import sys, os, json
os.environ["TF_CPP_MIN_LOG_LEVEL"]="3"
import numpy as np, tensorflow as tf
try: import keras
except ImportError: keras=None
if keras is None or not str(getattr(keras,"__version__","2")).startswith("3"): keras=tf.keras
from tcn import TCN
folder,name,optimizer=sys.argv[1:4]; frozen="frozen" in sys.argv
os.makedirs(folder,exist_ok=True)
BN="bn" in sys.argv
rng=np.random.RandomState(5)
if hasattr(keras.utils,"set_random_seed"): keras.utils.set_random_seed(1)
i=keras.layers.Input((9,2))
a=keras.layers.Dense(3,name="front",activation="tanh")(i)
t=TCN(nb_filters=3,kernel_size=2,dilations=(1,2),nb_stacks=1,use_batch_norm=BN,use_layer_norm=not BN,use_skip_connections=True,activation="tanh",return_sequences=True)(a)
b=keras.layers.Conv1D(3,2,padding="same",name="side")(a)
o=keras.layers.Dense(1,name="head")(keras.layers.Flatten()(keras.layers.Add()([t,b])))
m=keras.models.Model(i,o)
if frozen: m.get_layer("front").trainable=False
opts={"adam_by_name":lambda:"adam","sgd_by_name":lambda:"sgd","adam":lambda:keras.optimizers.Adam(0.01),"legacy_adam":lambda:keras.optimizers.legacy.Adam(0.01,decay=0.1),"sgd":lambda:keras.optimizers.SGD(0.05,momentum=0.8,nesterov=True),"rmsprop":lambda:keras.optimizers.RMSprop(0.01,momentum=0.5),"amsgrad":lambda:keras.optimizers.Adam(0.01,amsgrad=True,clipnorm=0.5),
 "sgd_inverse_time":lambda:keras.optimizers.SGD(keras.optimizers.schedules.InverseTimeDecay(0.05,2,0.5)),
 "legacy_adam_exponential":lambda:keras.optimizers.legacy.Adam(keras.optimizers.schedules.ExponentialDecay(0.01,4,0.5)),
 "adam24":lambda:tf.keras.optimizers.Adam(0.01,decay=0.1)}
m.compile(opts[optimizer](),loss="mse",metrics=["mae"])
x=rng.randn(16,9,2).astype("float32"); y=rng.randn(16,1).astype("float32")
for k in range(3): m.train_on_batch(x+0.1*k,y)
m.save(os.path.join(folder,name))
y0=m.predict(x[:4],verbose=0)
m.train_on_batch(x,y)
np.savez_compressed(os.path.join(folder,"golden.npz"),x0=x[:4],y0=y0)
np.savez_compressed(os.path.join(folder,"next_step.npz"),x=x,y=y,after=m.predict(x,verbose=0))
kv=getattr(keras,"__version__",None) or tf.__version__
json.dump({"source":name,"options":[],"expect":"exact","mentions":[],"tags":["healthy","trained"]+(["state-not-stored"] if "legacy" in optimizer and name.endswith(".keras") else []),"made_with":{"python":".".join(map(str,sys.version_info[:3])),"tensorflow":tf.__version__,"keras":kv,"keras_tcn":sys.argv[4] if len(sys.argv)>4 and sys.argv[4]!="frozen" else ""},"peculiarity":"trained: %s; next_step.npz holds a batch and the predictions after the next step on it"%optimizer},open(os.path.join(folder,"case.json"),"w"),indent=1)
