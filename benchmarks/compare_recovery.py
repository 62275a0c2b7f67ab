"""How well lost norms come back, side by side: this program, fvcore's PreciseBN recipe, and Adam on the same data.

    python benchmarks/compare_recovery.py [--norm batch|layer] [--samples 1024] [--seconds 40] [--epochs 12]

Trains a small TCN on a synthetic task, takes its norms away, brings them back in each way, and prints the relative
RMSE of the predictions on inputs that no method has seen, in standard deviations of the undamaged model's, with the
seconds that each took. Needs TensorFlow; a run takes a few minutes on two cores.

PreciseBN here: forward passes in training mode, every batch normalised by its own moments, and the mean of the
batches' means and variances taken (fvcore's `update_bn_stats`), written anew for Keras.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers, ops

from tcn_migrate.recovery.diagnose import INITIAL, STATISTICS, Loss
from tcn_migrate.recovery.fit import Recorded
from tcn_migrate.recovery.least_squares import descend
from tcn_migrate.recovery.measure import statistics
from tcn_migrate.recovery.refit import free_variables, refit
from tcn_migrate.recovery.response import Response
from tcn_migrate.tcn.layer import TCN

Array = np.ndarray[Any, Any]


def waves(samples: int, seed: int, steps: int = 48) -> tuple[Array, Array]:
    """Two noisy, lagging channels of a wave; wanted: its frequency, amplitude and last value without the noise."""
    random = np.random.default_rng(seed)
    time_ = np.arange(steps)[None]
    frequency, phase = random.uniform(0.05, 0.25, (samples, 1)), random.uniform(0, 6.28, (samples, 1))
    amplitude = random.uniform(0.5, 2.0, (samples, 1))
    clean = amplitude * np.sin(6.28 * frequency * time_ + phase)
    lagged = amplitude * np.sin(6.28 * frequency * (time_ - 3) + phase)
    x = np.stack([clean, lagged], axis=-1) + random.normal(0, 0.3, (samples, steps, 2))
    wanted = np.concatenate([10 * frequency, amplitude, clean[:, -1:]], axis=1)
    return x.astype(np.float32), wanted.astype(np.float32)


def trained(norm: str, epochs: int) -> Any:
    """A TCN with dropout, trained."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((48, 2))
    hidden = TCN(
        16, 3, dilations=(1, 2, 4, 8), dropout_rate=0.1, use_batch_norm=norm == "batch", use_layer_norm=norm == "layer"
    )(inputs)
    model = keras.Model(inputs, layers.Dense(3)(hidden))
    x, wanted = waves(8192, 1)
    rate = keras.optimizers.schedules.CosineDecay(4e-3, 128 * epochs, alpha=0.02)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), "mse")
    model.fit(x, wanted, batch_size=64, epochs=epochs, verbose=0)
    return model


def norms_of(model: Any) -> dict[tuple[str, ...], Any]:
    kinds = layers.BatchNormalization | layers.LayerNormalization
    return {tuple(norm.path.split("/")): norm for norm in reversed(model._flatten_layers()) if isinstance(norm, kinds)}


def take_away(norms: dict[tuple[str, ...], Any], names: tuple[str, ...]) -> list[Loss]:
    """Sets variables to their initial values; returns what is lost."""
    losses = []
    for address, norm in norms.items():
        for name in names:
            if hasattr(norm, name):
                variable = getattr(norm, name)
                variable.assign(np.full(variable.shape, INITIAL[name]))
                losses.append(Loss((*address, name)))
    return losses


def put(norms: dict[tuple[str, ...], Any], values: Any) -> None:
    for address, array in values.items():
        getattr(norms[address[:-1]], address[-1]).assign(array)


def precise_batch_norm(model: Any, norms: dict[tuple[str, ...], Any], x: Array, batch: int = 32) -> None:
    """fvcore's recipe: all norms from the same passes, each batch normalised by itself, moments averaged."""
    momenta = {address: norm.momentum for address, norm in norms.items()}
    sums = {(*address, name): 0.0 for address in norms for name in STATISTICS}
    for norm in norms.values():
        norm.momentum = 0.0  # the moving statistics become the batch's
    count = len(x) // batch
    for number in range(count):
        model(x[number * batch : (number + 1) * batch], training=True)
        for address, norm in norms.items():
            for name in STATISTICS:
                sums[(*address, name)] += ops.convert_to_numpy(getattr(norm, name)).astype(np.float64) / count
    put(norms, sums)
    for address, norm in norms.items():
        norm.momentum = momenta[address]


def adam(model: Any, norms: dict[tuple[str, ...], Any], x: Array, y: Array, seconds: float) -> None:
    """Adam on gamma and beta alone, cosine decay from 0.02, batches of 128, 1500 steps or until the time is up."""
    import tensorflow as tf

    variables = [variable for norm in norms.values() for variable in (norm.gamma.value, norm.beta.value)]
    mean = [np.zeros(variable.shape) for variable in variables]
    square = [np.zeros(variable.shape) for variable in variables]
    scale = float(y.std())

    @tf.function
    def gradients(batch: Any, wanted: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square((model(batch, training=False) - wanted) / scale))
        return tape.gradient(loss, variables)

    random, end = np.random.default_rng(0), time.monotonic() + seconds
    for step in range(1500):
        if time.monotonic() > end:
            break
        chosen = random.choice(len(x), 128, replace=len(x) < 128)
        rate = 0.02 * 0.5 * (1 + np.cos(np.pi * step / 1500))
        for number, gradient in enumerate(gradients(tf.constant(x[chosen]), tf.constant(y[chosen]))):
            slope = gradient.numpy()
            mean[number] += 0.1 * (slope - mean[number])
            square[number] += 0.001 * (slope**2 - square[number])
            corrected = mean[number] / (1 - 0.9 ** (step + 1))
            spread = np.sqrt(square[number] / (1 - 0.999 ** (step + 1))) + 1e-8
            variables[number].assign_sub(tf.constant(rate * corrected / spread, tf.float32))


def levenberg_marquardt_alone(model: Any, norms: Any, losses: list[Loss], x: Array, y: Array) -> dict[Any, Array]:
    """The fit without the waking of channels."""
    free = {address: np.arange(norms[address[:-1]].gamma.shape[0]) for address in free_variables(losses)}
    response = Response(model, norms, free, [x])
    recorded = Recorded(response, y, np.full(y.shape[1], y.std()), plenty=True, seed=0)
    found = descend(recorded.problem(recorded.fitted, recorded.held), response.start)
    return response.variables(found.parameters)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--norm", choices=["batch", "layer"], default="batch")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=40.0, help="for Adam")
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()

    model = trained(options.norm, options.epochs)
    norms = norms_of(model)
    x, _ = waves(options.samples, 2)
    unseen, _ = waves(1024, 3)
    y, wanted = model.predict(x, verbose=0), model.predict(unseen, verbose=0)
    whole = {address: norm.get_weights() for address, norm in norms.items()}
    everything = ("gamma", "beta", *STATISTICS)

    def error() -> float:
        return float(np.sqrt(np.mean((model.predict(unseen, verbose=0) - wanted) ** 2)) / wanted.std())

    def measured(dropout: bool) -> Callable[[list[Loss]], None]:
        return lambda losses: put(norms, statistics(model, norms, losses, x, dropout=dropout).values)

    def with_statistics(then: Callable[[list[Loss]], None]) -> Callable[[list[Loss]], None]:
        def both(losses: list[Loss]) -> None:
            measured(False)(losses)
            then(losses)

        return both

    rows: list[tuple[str, tuple[str, ...], Callable[[list[Loss]], None]]] = []
    if options.norm == "batch":
        rows += [
            ("statistics: as they are", STATISTICS, lambda losses: None),
            ("statistics: PreciseBN, batches of 32", STATISTICS, lambda losses: precise_batch_norm(model, norms, x)),
            ("statistics: measured, dropout off", STATISTICS, measured(False)),
            ("statistics: measured", STATISTICS, measured(True)),
        ]
    rows += [
        ("everything: as it is", everything, lambda losses: None),
        (
            "everything: Adam",
            everything,
            with_statistics(lambda losses: adam(model, norms, x, y, options.seconds)),
        ),
        (
            "everything: Levenberg-Marquardt alone",
            everything,
            with_statistics(lambda losses: put(norms, levenberg_marquardt_alone(model, norms, losses, x, y))),
        ),
        (
            "everything: refitted",
            everything,
            lambda losses: put(norms, refit(model, norms, losses, [x], [y]).values),
        ),
    ]
    print(f"{options.norm} norm, {len(norms)} norms, {options.samples} inputs")
    print(f"{'lost, and how it comes back':42s} {'relative RMSE':>14s} {'seconds':>8s}")
    for name, lost, bring_back in rows:
        for address, weights in whole.items():
            norms[address].set_weights(weights)
        losses = take_away(norms, lost)
        start = time.perf_counter()
        bring_back(losses)
        print(f"{name:42s} {error():14.2g} {time.perf_counter() - start:8.1f}", flush=True)


if __name__ == "__main__":
    main()
