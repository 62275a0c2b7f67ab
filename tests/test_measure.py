"""Statistics are measured as training saw them, in graph order and one pass, and the model stays as it was."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest
from keras import layers, ops

from tcn_migrate.errors import MigrationError
from tcn_migrate.recovery import measure
from tcn_migrate.recovery.diagnose import STATISTICS, Loss
from tcn_migrate.tcn.layer import TCN

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(96, 12, 2)).astype(np.float32) * [1.0, 3.0] + [0.5, -2.0]
X = X.astype(np.float32)


def tcn(**settings):
    return TCN(**{"nb_filters": 4, "kernel_size": 2, "dilations": (1, 2), "use_batch_norm": True, **settings})


def simple(**settings):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((12, 2))
    return keras.Model(inputs, layers.Dense(1)(tcn(**settings)(inputs)))


def norms_of(model):
    """The batch norms by address, with random gammas and betas and the statistics lost."""
    random = np.random.default_rng(1)
    found = {}
    for layer in reversed(model._flatten_layers()):
        if isinstance(layer, layers.BatchNormalization):
            found[tuple(layer.path.split("/"))] = layer
            width = layer.gamma.shape[0]
            layer.set_weights(
                [random.uniform(0.5, 1.5, width), random.normal(size=width), np.zeros(width), np.ones(width)]
            )
    return found


def losses_of(norms):
    return [Loss((*address, name)) for address in norms for name in STATISTICS]


def measured(model, inputs=X, **settings):
    norms = norms_of(model)
    return measure.statistics(model, norms, losses_of(norms), inputs, **settings).values


def seen_by(norm, model, inputs):
    """What a norm is given in a prediction, call by call."""
    seen = []
    original = norm.call

    def spied(x, *arguments, **keywords):
        seen.append(np.asarray(ops.convert_to_numpy(x), dtype=np.float64))
        return original(x, *arguments, **keywords)

    norm.call = spied
    try:
        model(inputs, training=False)
    finally:
        norm.call = original
    return seen


def one_by_one(model, order, inputs=X):
    """The same by one prediction a norm, each with the ones before it in place: slow, and plainly right."""
    norms = norms_of(model)
    for address in order(norms):
        (x,) = seen_by(norms[address], model, inputs)
        x = x.reshape(-1, x.shape[-1])
        norms[address].moving_mean.assign(x.mean(axis=0))
        norms[address].moving_variance.assign(x.var(axis=0))
    return {(*a, n): ops.convert_to_numpy(getattr(norm, n)) for a, norm in norms.items() for n in STATISTICS}


def apart(one, other):
    """The largest difference, relative where values are large: float32 sums in another order differ by their size."""
    return max(float((np.abs(one[key] - other[key]) / np.maximum(1, np.abs(other[key]))).max()) for key in other)


@pytest.mark.parametrize(
    "settings",
    [{}, {"padding": "same", "return_sequences": True}, {"use_skip_connections": False, "go_backwards": True}],
)
def test_each_norm_is_measured_with_the_ones_before_it_in_place(settings):
    model = simple(**settings)
    right = one_by_one(model, sorted)
    assert apart(measured(model), right) < 1e-4
    assert apart(one_by_one(model, lambda norms: sorted(norms, reverse=True)), right) > 0.1


def test_all_norms_at_once_would_be_plausible_and_wrong():
    model = simple()
    norms = norms_of(model)
    at_once = {}
    for address, norm in norms.items():
        (x,) = seen_by(norm, model, X)
        at_once[(*address, "moving_mean")] = x.mean(axis=(0, 1))
    assert apart(measured(model), at_once) > 0.1


@pytest.mark.parametrize("dropout_rate", [0.0, 0.3])
def test_the_split_into_batches_changes_nothing(dropout_rate, monkeypatch):
    monkeypatch.setattr(measure, "CHUNK", 12 * 4 * 20)  # several chunks of 20 samples
    monkeypatch.setattr(measure, "ENOUGH_SAMPLES", 200)  # and copies of them
    model = simple(dropout_rate=dropout_rate)
    whole = measured(model)
    for sizes in ([1] * 96, [7] * 13 + [5], [95, 1]):
        ends = np.cumsum(sizes)
        split = measured(model, (X[end - size : end] for size, end in zip(sizes, ends, strict=True)))
        assert all(np.array_equal(split[address], whole[address]) for address in whole)


def test_dropout_is_on_with_a_fixed_seed():
    model = simple(dropout_rate=0.3)
    on, off = measured(model), measured(model, dropout=False)
    assert apart(on, off) > 1e-3
    assert apart(measured(model), on) == 0
    assert apart(measured(model, seed=1), on) > 1e-6
    assert apart(off, one_by_one(model, sorted)) < 1e-4


def test_few_samples_are_measured_in_copies_with_other_dropout():
    model = simple(dropout_rate=0.3)
    norms = norms_of(model)
    found = measure.statistics(model, norms, losses_of(norms), X)
    assert (found.samples, found.copies) == (96, 11)
    assert measure.statistics(model, norms, losses_of(norms), X, dropout=False).copies == 1


def test_a_mean_of_1000_with_a_deviation_of_a_tenth_survives():
    x = (1000 + 0.1 * np.random.default_rng(2).normal(size=(400, 12, 2))).astype(np.float32)
    inputs = keras.Input((12, 2))
    model = keras.Model(inputs, layers.BatchNormalization()(inputs))
    values = measured(model, (x[start : start + 7] for start in range(0, 400, 7)))
    exact = x.reshape(-1, 2).astype(np.float64)
    ((mean, variance),) = [[values[key] for key in sorted(values)]]
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(variance, exact.var(axis=0), rtol=1e-4)


def bidirectional():
    inputs = keras.Input((12, 2))
    return keras.Model(inputs, layers.Bidirectional(tcn(return_sequences=True))(inputs))


def inner_models():
    inside = keras.Input((12, 2))
    inner = keras.Sequential([keras.Input((12, 2)), tcn(return_sequences=True), layers.Dense(3)])
    inner = keras.Model(inside, inner(inside))
    inputs = keras.Input((12, 2))
    return keras.Model(inputs, tcn()(inner(inputs)))


def two_behind_each_other():
    inputs = keras.Input((None, 2))
    return keras.Model(inputs, tcn()(layers.LayerNormalization()(tcn(return_sequences=True, padding="same")(inputs))))


def behind_a_mask():
    return keras.Sequential([keras.Input((12, 2)), layers.Masking(), tcn(return_sequences=True), layers.LSTM(3)])


@pytest.mark.parametrize("build", [bidirectional, inner_models, two_behind_each_other, behind_a_mask])
def test_norms_are_measured_wherever_they_are(build):
    x = X.copy()
    x[:, 8:] = 0  # padded steps count, as they did in training
    model = build()
    names = [layer.name for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]

    def order(norms):
        """As they are called: by what each one's input depends on."""
        called = []
        for address, norm in norms.items():
            original = norm.call
            norm.call = lambda x, *a, address=address, original=original, **k: (called.append(address), original(x))[1]
        model(x[:2])
        for norm in norms.values():
            del norm.call
        return called

    right = one_by_one(model, order, x)
    assert len(right) == 2 * len(names)
    assert apart(measured(model, x), right) < 1e-4


def test_time_distributed_steps_are_one_batch():
    inside = keras.Input((12, 2))
    inner = keras.Model(inside, tcn()(inside))
    inputs = keras.Input((3, 12, 2))
    model = keras.Model(inputs, layers.TimeDistributed(inner)(inputs))
    alone = one_by_one(inner, sorted)
    assert apart(measured(model, X.reshape(32, 3, 12, 2)), alone) < 1e-4


def test_a_shared_tcn_gets_the_mean_over_its_places():
    """Training normalised each call by its own batch, and each moved the statistics by the same share."""
    shared = tcn()
    one, other = keras.Input((12, 2)), keras.Input((12, 2))
    model = keras.Model([one, other], layers.Concatenate()([shared(one), shared(other)]))
    alone = keras.Model(one, shared(one))
    places = [one_by_one(alone, sorted, x) for x in (X, 2 * X + 1)]
    wanted = {address: (places[0][address] + places[1][address]) / 2 for address in places[0]}
    assert apart(measured(model, [X, 2 * X + 1]), wanted) < 1e-4


def test_only_lost_channels_are_measured_and_intact_norms_kept():
    model = simple()
    right = measured(model)
    norms = norms_of(model)
    (address, norm), (_, intact), *_ = sorted(norms.items())
    for (*place, name), values in right.items():
        getattr(norms[tuple(place)], name).assign(values)
    intact.moving_mean.assign(ops.convert_to_numpy(intact.moving_mean) + 7)
    norm.moving_variance.assign([1, -3, 5, 9])
    found = measure.statistics(model, norms, [Loss((*address, "moving_variance"), (1, 3))], X).values
    ((_, values),) = found.items()
    assert values[[0, 2]].tolist() == [1, 5]
    np.testing.assert_allclose(values[[1, 3]], right[(*address, "moving_variance")][[1, 3]], rtol=1e-4)


def state_of(model):
    nodes = [len(layer._inbound_nodes) + len(layer._outbound_nodes) for layer in model._flatten_layers()]
    seeds = [ops.convert_to_numpy(g.state) for layer in model._flatten_layers() for g in layer._seed_generators]
    trainable = [layer.trainable for layer in model._flatten_layers()]
    return [nodes, trainable, [ops.convert_to_numpy(v).tolist() for v in model.variables], [s.tolist() for s in seeds]]


def interrupted_data():
    yield X[:50]
    raise KeyboardInterrupt


def interrupt(done, total):
    if done == total // 2:
        raise KeyboardInterrupt


@pytest.mark.parametrize("settings", [{}, {"inputs": interrupted_data}, {"progress": interrupt}])
def test_the_model_stays_as_it_was_even_after_an_interrupt(settings):
    model = simple(dropout_rate=0.2)
    norms = norms_of(model)
    before = state_of(model)
    inputs = settings.pop("inputs", lambda: X)()
    with contextlib.suppress(KeyboardInterrupt):
        measure.statistics(model, norms, losses_of(norms), inputs, **settings)
    assert state_of(model) == before


def test_the_work_does_not_grow_with_the_number_of_norms(monkeypatch):
    """Every convolution is in one segment, every segment runs once a chunk, and the data is read once."""
    monkeypatch.setattr(measure, "CHUNK", 12 * 4 * 48)  # two chunks
    traced, runs, reads = [], [], []
    original, compiled = layers.Conv1D.call, measure.compiled
    monkeypatch.setattr(layers.Conv1D, "call", lambda self, x: (traced.append(self.name), original(self, x))[1])

    def counted(segment):
        function = compiled(segment)
        return lambda tensors: (runs.append(1), function(tensors))[1]

    monkeypatch.setattr(measure, "compiled", counted)

    def data():
        reads.append(1)
        yield X

    for dilations in ((1, 2), (1, 2, 4, 8, 16)):
        model = simple(dilations=dilations)
        traced.clear(), runs.clear()
        measured(model, data())
        assert traced.count("conv1D_0") == traced.count("conv1D_1") == len(dilations)
        assert len(runs) == 2 * 2 * len(dilations)
    assert len(reads) == 2


def test_what_is_kept_goes_to_disk_beyond_a_limit(monkeypatch):
    monkeypatch.setattr(measure, "CHUNK", 12 * 4 * 20)
    shelves = []
    original = measure._Shelf.__init__
    monkeypatch.setattr(measure._Shelf, "__init__", lambda self, *a: (original(self, *a), shelves.append(self))[0])
    written = []
    put = measure._Shelf.put

    def spied(self, chunk, values):
        put(self, chunk, values)
        written.append(len(list(self.folder.iterdir())))
        assert self.held <= self.limit

    monkeypatch.setattr(measure._Shelf, "put", spied)
    model = simple()
    kept = measured(model)
    assert not any(written)
    limited = measured(model, memory=20_000)
    assert max(written) >= 3
    assert all(np.array_equal(kept[address], limited[address]) for address in kept)
    assert not shelves[-1].folder.exists()


def test_half_of_the_data_that_disagrees_is_told():
    model = simple()
    norms = norms_of(model)
    same = measure.statistics(model, norms, losses_of(norms), np.concatenate([X, X])).disagreement
    mixed = measure.statistics(model, norms, losses_of(norms), np.concatenate([X, 3 * X + 2])).disagreement
    assert max(same.values()) < 1e-4
    assert max(mixed.values()) > 0.3


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (np.where(np.arange(96)[:, None, None] == 40, np.nan, X), "not finite"),
        (np.where(np.arange(96)[:, None, None] == 40, np.inf, X), "not finite"),
        (X[:, :, :1], "shape"),
        (X[:, :11], "shape"),
        (X[:, 0], "shape"),
        (X[:8], "too little"),
        (X[:0], "no data"),
        (iter(()), "no data"),
    ],
)
def test_data_that_cannot_be_right_is_refused(inputs, words):
    with pytest.raises(MigrationError, match=words):
        measured(simple(), inputs)


def test_inputs_whose_statistics_are_not_finite_are_refused():
    with pytest.raises(MigrationError, match="not finite"):
        measured(simple(), X * np.float32(2e37))


def test_inputs_of_different_lengths_are_refused():
    one, other = keras.Input((12, 2)), keras.Input((12, 2))
    model = keras.Model([one, other], layers.Concatenate()([tcn()(one), tcn()(other)]))
    with pytest.raises(MigrationError, match="differ in their number of samples"):
        measured(model, [X, X[:50]])
