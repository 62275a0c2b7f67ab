"""Lost norms come back from recorded predictions: exactly where enough is recorded, and the model stays as it was."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest
from keras import layers, ops

from tcn_migrate.errors import MigrationError
from tcn_migrate.recovery import fit as module
from tcn_migrate.recovery import refit as refits
from tcn_migrate.recovery.decide import free_variables, missing_numbers
from tcn_migrate.recovery.diagnose import INITIAL, STATISTICS, Loss
from tcn_migrate.recovery.fit import OPENINGS, dead_channels, wake, weak_channels
from tcn_migrate.recovery.least_squares import Problem, descend
from tcn_migrate.recovery.recorded import Recorded, parts
from tcn_migrate.recovery.refit import Refit, expect, refit
from tcn_migrate.recovery.response import Response
from tcn_migrate.tcn.layer import TCN

X = np.random.default_rng(0).normal(size=(300, 10, 2)).astype(np.float32)
UNSEEN = np.random.default_rng(1).normal(size=(100, 10, 2)).astype(np.float32)


def tcn(**settings):
    return TCN(**{"nb_filters": 3, "kernel_size": 2, "dilations": (1, 2), "use_batch_norm": True, **settings})


def simple(**settings):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((10, 2))
    return keras.Model(inputs, layers.Dense(3)(tcn(**settings)(inputs)))


def norms_of(model):
    kinds = layers.BatchNormalization | layers.LayerNormalization
    return {
        tuple(layer.path.split("/")): layer for layer in reversed(model._flatten_layers()) if isinstance(layer, kinds)
    }


def teacher(model, x=X):
    """Norms as after training: gammas near 1, statistics near what the data show."""
    random = np.random.default_rng(2)
    for norm in norms_of(model).values():
        width = norm.gamma.shape[0]
        norm.gamma.assign(random.uniform(0.7, 1.4, width))
        norm.beta.assign(random.normal(0, 0.3, width))
        if hasattr(norm, "moving_mean"):
            norm.moving_mean.assign(random.normal(0, 0.2, width))
            norm.moving_variance.assign(random.uniform(0.5, 2, width))
    return model.predict(x, verbose=0), model.predict(UNSEEN if x is X else x, verbose=0)


def lose(norms, names=("gamma", "beta", *STATISTICS)):
    losses = []
    for address, norm in norms.items():
        for name in names:
            if hasattr(norm, name):
                variable = getattr(norm, name)
                variable.assign(np.full(variable.shape, INITIAL[name]))
                losses.append(Loss((*address, name)))
    return losses


def put(norms, found: Refit):
    for address, values in found.values.items():
        getattr(norms[address[:-1]], address[-1]).assign(values)


def off(model, wanted, x=UNSEEN):
    return float(np.sqrt(np.mean((model.predict(x, verbose=0) - wanted) ** 2)) / wanted.std())


@pytest.mark.parametrize(
    "settings",
    [{}, {"use_batch_norm": False, "use_layer_norm": True}, {"dropout_rate": 0.4}],
    ids=["batch norm", "layer norm", "dropout"],
)
def test_everything_lost_comes_back_exactly(settings):
    model = simple(activation="tanh", **settings)
    y, unseen = teacher(model)
    norms = norms_of(model)
    losses = lose(norms)
    before = off(model, unseen)
    found = refit(model, norms, losses, [X], [y])
    assert found.expected.exact
    assert off(model, unseen) == before  # the model is as it was
    put(norms, found)
    assert off(model, unseen) < 1e-5 < before
    assert found.held_back < 1e-5
    recorded, predicted = np.transpose(found.predictions)
    assert np.isin(recorded.astype(np.float32), y).all()
    np.testing.assert_allclose(predicted, recorded, atol=1e-4 * y.std())
    assert set(found.values) == {loss.address for loss in losses}


def test_lost_statistics_come_back_beside_their_gamma_and_beta():
    model = simple(activation="tanh")
    y, unseen = teacher(model)
    norms = norms_of(model)
    losses = lose(norms, STATISTICS)
    kept = {a: ops.convert_to_numpy(norm.gamma) for a, norm in norms.items()}
    found = refit(model, norms, losses, [X], [y])
    put(norms, found)
    assert off(model, unseen) < 1e-5
    assert all((values >= 0).all() for a, values in found.values.items() if a[-1] == "moving_variance")
    for address, norm in norms.items():
        if (*address, "gamma") not in found.also_changed:
            assert np.array_equal(ops.convert_to_numpy(norm.gamma), kept[address])


def test_only_what_is_lost_is_fitted():
    model = simple()
    y, _ = teacher(model)
    norms = norms_of(model)
    address, norm = list(norms.items())[1]
    gamma = ops.convert_to_numpy(norm.gamma).copy()
    norm.gamma.assign([9.0, gamma[1], 9.0])
    found = refit(model, norms, [Loss((*address, "gamma"), (0, 2))], [X], [y])
    ((place, values),) = found.values.items()
    assert place == (*address, "gamma")
    assert values[1] == gamma[1]
    np.testing.assert_allclose(values, gamma, rtol=1e-4)


def test_inner_models_time_distributed_and_several_outputs():
    keras.utils.set_random_seed(3)
    inside = keras.Input((10, 2))
    inner = keras.Model(inside, tcn(activation="tanh")(inside))
    inputs = keras.Input((2, 10, 2))
    hidden = layers.TimeDistributed(inner)(inputs)
    flat = layers.Flatten()(hidden)
    model = keras.Model(inputs, [layers.Dense(2)(flat), layers.Dense(1)(hidden)])
    x = X.reshape(150, 2, 10, 2)
    norms = norms_of(model)
    for norm in norms.values():
        norm.gamma.assign([0.8, 1.2, 1.0])
        norm.moving_mean.assign([0.3, -0.1, 0.0])
    y = model.predict(x, verbose=0)
    losses = lose(norms)
    put(norms, refit(model, norms, losses, [x], y))
    assert max(float(np.abs(a - b).max()) for a, b in zip(model.predict(x, verbose=0), y, strict=True)) < 1e-4


def test_bidirectional_and_shared():
    keras.utils.set_random_seed(3)
    one, other = keras.Input((10, 2)), keras.Input((10, 2))
    shared = layers.Bidirectional(tcn(activation="tanh"))
    model = keras.Model([one, other], layers.Dense(2)(layers.Concatenate()([shared(one), shared(other)])))
    x = [X, X[::-1].copy()]
    norms = norms_of(model)
    for norm in norms.values():
        norm.gamma.assign([0.8, 1.2, 1.0])
        norm.beta.assign([0.3, -0.1, 0.0])
    y = model.predict(x, verbose=0)
    losses = lose(norms)
    put(norms, refit(model, norms, losses, x, [y]))
    assert float(np.abs(model.predict(x, verbose=0) - y).max()) < 1e-4


def test_the_jacobian_is_that_of_differences():
    model = simple(activation="tanh")
    teacher(model)
    norms = norms_of(model)
    free = {(*address, name): np.arange(3) for address in norms for name in ("gamma", "beta")}
    response = Response(model, norms, free, [X[:5]])
    samples, chosen = np.array([0, 0, 3, 3, 4, 4]), np.array([0, 2, 1, 0, 2, 1])
    chunks = list(response.rows(response.start, samples, chosen))
    assert [part for part, _, _ in chunks] == [slice(0, 6)]
    ((_, values, rows),) = chunks
    np.testing.assert_allclose(values, model.predict(X[samples], verbose=0)[range(6), chosen], rtol=1e-4, atol=1e-5)
    for number in range(len(response.start)):
        step = np.zeros_like(response.start)
        step[number] = 1e-2
        slope = (
            response.predict(response.start + step, samples) - response.predict(response.start - step, samples)
        ) / 2e-2
        np.testing.assert_allclose(rows[:, number], slope[range(6), chosen], atol=2e-3)


def test_few_recordings_are_told_beforehand_and_held_by_a_prior(monkeypatch):
    model = simple()
    y, _ = teacher(model)
    norms = norms_of(model)
    losses = lose(norms)
    found = refit(model, norms, losses, [X[:8]], [y[:8]], further_inputs=X)
    assert found.expected.exact is False
    assert found.expected.more > 0
    monkeypatch.setattr(module, "PRIORS", (1e6,))
    held = refit(model, norms, losses, [X[:8]], [y[:8]], further_inputs=X)
    gammas = [(a, values) for a, values in held.values.items() if a[-1] == "gamma"]
    assert all(np.allclose(values, 1, atol=1e-2) for _, values in gammas)
    assert any(not np.allclose(found.values[a], 1, atol=1e-2) for a, _ in gammas)


def test_dead_and_weak_channels_are_found_and_woken():
    """A relu that never opens has no derivative; opened a little, with a small gamma, it has one."""
    model = simple()
    y, _ = teacher(model)
    norms = norms_of(model)
    (first, norm), (second, other), *_ = norms.items()
    norm.beta.assign([-100.0, 0.1, 0.2])
    other.gamma.assign([1.0, 1.1, 0.01])
    other.beta.assign([0.1, 0.2, 3.0])
    free = {(*address, name): np.arange(3) for address in norms for name in ("gamma", "beta")}
    response = Response(model, norms, free, [X])
    recorded = Recorded(response, [y], ["dense"], ["linear"])
    dead = dead_channels(recorded, response.start)
    assert (first, 0) in dead
    assert (second, 2) in weak_channels(recorded, response.start, dead)
    woken = wake(recorded, response.start, dead, 1, OPENINGS)
    assert not dead_channels(recorded, woken)
    moved = np.flatnonzero(woken != response.start)
    assert len(moved) == 2 * len(dead)  # their gammas and betas, and nothing else
    before = response.predict(response.start, recorded.fitted)
    assert np.abs(response.predict(woken, recorded.fitted) - before).std() < 0.1 * before.std()


def test_counting_says_what_to_expect():
    assert expect(1024, 1, 400).exact
    assert expect(600, 1, 400).exact is None
    assert expect(256, 1, 400).exact is False
    short = expect(256, 1, 400)
    assert expect(256 + short.more, 1, 400).exact
    assert "will not come back exactly" in str(short)
    assert str(short.more) in str(short)


def test_statistics_stand_for_a_scale_and_a_shift():
    norm = ("tcn", "residual_block_0", "norm_0")
    everything = [Loss((*norm, name)) for name in ("gamma", "beta", *STATISTICS)]
    assert missing_numbers(everything, {norm: 20}) == 40
    assert free_variables(everything[3:]) == {(*norm, "gamma"): None}
    some = [Loss((*norm, "moving_variance"), (1, 4)), Loss((*norm, "gamma"), (2,))]
    assert free_variables(some) == {(*norm, "gamma"): (1, 2, 4)}
    assert missing_numbers(some, {norm: 20}) == 3


def test_an_interrupt_leaves_the_model_as_it_was():
    model = simple()
    y, _ = teacher(model)
    norms = norms_of(model)
    losses = lose(norms)
    before = [ops.convert_to_numpy(v).tolist() for v in model.variables]

    def interrupt(error):
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        refit(model, norms, losses, [X], [y], progress=interrupt)
    assert [ops.convert_to_numpy(v).tolist() for v in model.variables] == before


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (X, np.zeros((300, 2)), "shape of the model's output"),
        (X, np.zeros((299, 3)), "shape of the model's output"),
        (X, np.full((300, 3), np.nan), "not finite"),
        (X[:, :, :1], np.zeros((300, 3)), "shape of the model's input"),
    ],
)
def test_recordings_that_do_not_fit_are_refused(x, y, words):
    model = simple()
    norms = norms_of(model)
    with pytest.raises(MigrationError, match=words):
        refit(model, norms, lose(norms), [x], [y])


def test_a_descent_reaches_the_bottom_and_survives_a_singular_matrix():
    def residuals(p):  # Rosenbrock's valley, and a third parameter without any effect
        r = np.array([10 * (p[1] - p[0] ** 2), 1 - p[0]])
        return r, r

    def normal(p):
        jacobian = np.array([[-20 * p[0], 10, 0], [-1, 0, 0]])
        return jacobian.T @ jacobian, jacobian.T @ residuals(p)[0]

    found = descend(Problem(residuals, normal), np.array([-1.2, 1.0, 5.0]), patience=60)
    np.testing.assert_allclose(found.parameters, [1, 1, 5], atol=1e-5)
    assert found.curve[-1] < 1e-6 < found.curve[0]


def saturated(activation, units, scale):
    """A model whose probabilities are nearly 0 or 1."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((10, 2))
    head = layers.Dense(units, kernel_initializer=keras.initializers.RandomNormal(stddev=scale))
    return keras.Model(inputs, layers.Activation(activation)(head(tcn(activation="tanh")(inputs))))


@pytest.mark.parametrize(("activation", "units", "scale"), [("softmax", 4, 30.0), ("sigmoid", 2, 16.0)])
def test_saturated_probabilities_are_fitted_in_logits(activation, units, scale, monkeypatch):
    model = saturated(activation, units, scale)
    y, unseen = teacher(model)
    assert np.mean((y > 0.01) & (y < 0.99)) < 0.5  # most say little as they are
    norms = norms_of(model)
    losses = lose(norms)
    found = refit(model, norms, losses, [X[:200]], [y[:200]])
    monkeypatch.setattr(refits, "_scales", lambda model: ["linear"])
    plain = refit(model, norms, losses, [X[:200]], [y[:200]], accept_error=10.0)
    put(norms, found)
    in_logits = off(model, unseen)
    put(norms, plain)
    assert in_logits < 1e-5
    if activation == "softmax":
        assert in_logits < off(model, unseen) / 100


def test_what_is_saturated_and_rounded_says_little():
    """Rounded probabilities near 0 and 1 are no numbers to count: the outputs do not change with the parameters."""
    model = saturated("sigmoid", 1, scale=3000.0)
    y, _ = teacher(model)
    norms = norms_of(model)
    losses = lose(norms)
    expected = refit(model, norms, losses, [X], [np.round(y, 2)], accept_error=10.0).expected
    assert expected.recorded < 0.2 * parts(300)[0]
    assert expected.exact is not True


def test_the_verdict_rests_on_samples_that_neither_fit_nor_choice_saw(monkeypatch):
    """Whatever was recorded for them, the variables are the same; and the verdict is not."""
    model = simple(activation="tanh")
    y, _ = teacher(model)
    norms = norms_of(model)
    losses = lose(norms)
    found = refit(model, norms, losses, [X], [y])
    free = {(*address, name): np.arange(3) for address in norms for name in ("gamma", "beta")}
    recorded = Recorded(Response(model, norms, free, [X]), [y], ["dense"], ["linear"])
    assert [len(recorded.fitted), len(recorded.choosing), len(recorded.verdict)] == [240, 30, 30]
    assert not set(recorded.verdict) & {*recorded.fitted, *recorded.choosing}
    spoiled = y.copy()
    spoiled[recorded.verdict] = spoiled[recorded.verdict][::-1]  # the same values, so the same units
    other = refit(model, norms, losses, [X], [spoiled], accept_error=10.0)
    assert all(np.array_equal(other.values[address], values) for address, values in found.values.items())
    assert found.held_back < 1e-5 < 0.1 < other.held_back
    assert not found.missed
    assert other.missed


def test_each_output_is_told_in_its_own_unit():
    """An output of thousands, one of hundredths and one whose values hardly differ: none hides behind another."""
    model = simple(activation="tanh")
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * [1000, 0.01, 1e-4], bias + np.float32([0, 0, 20])])
    y, unseen = teacher(model)
    norms = norms_of(model)
    losses = lose(norms)
    found = refit(model, norms, losses, [X], [y])
    put(norms, found)
    error = (model.predict(UNSEEN, verbose=0) - unseen).std(axis=0) / y.std(axis=0)
    by_feature = {int(output.name[-2]): output for output in found.outputs}
    assert sorted(by_feature) == [0, 1, 2]
    assert by_feature[2].resolution > 1e-3 > 1e-5 > by_feature[0].resolution
    assert not found.missed
    for feature in range(3):
        assert error[feature] < 1.5 * by_feature[feature].bound


def test_a_constant_feature_says_nothing_and_harms_nothing():
    model = simple(activation="tanh")
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * [1, 0, 1], bias])
    y, unseen = teacher(model)
    norms = norms_of(model)
    losses = lose(norms)
    found = refit(model, norms, losses, [X], [y])
    assert sorted(output.name[-3:] for output in found.outputs) == ["[0]", "[2]"]
    put(norms, found)
    assert off(model, unseen) < 1e-5


def test_a_descent_in_another_valley_is_left_by_a_prior(monkeypatch):
    model = simple(activation="tanh", dropout_rate=0.4)
    y, _ = teacher(model)
    norms = norms_of(model)
    losses = lose(norms)
    assert refit(model, norms, losses, [X], [y]).held_back < 1e-5
    monkeypatch.setattr(module, "STUCK", np.inf)
    assert refit(model, norms, losses, [X], [y], accept_error=10.0).held_back > 0.1


def test_few_recordings_are_exact_with_a_prior_that_is_lowered(monkeypatch):
    """45 numbers that are fitted to for 24 missing ones: a prior alone ends far from it."""
    model = simple(activation="tanh")
    y, _ = teacher(model)
    norms = norms_of(model)
    losses = lose(norms)
    some = slice(0, 19)
    found = refit(model, norms, losses, [X[some]], [y[some]], further_inputs=X)
    assert 1.5 < found.expected.recorded / found.expected.missing < module.PLENTY
    monkeypatch.setattr(module, "PRIORS", module.PRIORS[:1])
    fixed = refit(model, norms, losses, [X[some]], [y[some]], further_inputs=X, accept_error=10.0)
    assert found.curve[-1] < 1e-4 < 1e-3 < fixed.curve[-1]


def test_huge_inputs_are_refused_where_nothing_is_measured():
    model = simple(use_batch_norm=False, use_layer_norm=True)
    norms = norms_of(model)
    y, _ = teacher(model)
    with pytest.raises(MigrationError, match="not finite"):
        refit(model, norms, lose(norms), [X * np.float32(5e37)], [y])
