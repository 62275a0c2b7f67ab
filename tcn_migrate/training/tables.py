"""The losses, metrics, optimizers and schedules that every release of Keras from 3.0.5 to 3.15.1 knows."""

from __future__ import annotations

from dataclasses import dataclass


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LOSSES: dict[str, tuple[str, frozenset[str]]] = {
    "binary_crossentropy": ("BinaryCrossentropy", _words("name from_logits label_smoothing axis")),
    "binary_focal_crossentropy": (
        "BinaryFocalCrossentropy",
        _words("name from_logits label_smoothing axis apply_class_balancing alpha gamma"),
    ),
    "categorical_crossentropy": ("CategoricalCrossentropy", _words("name from_logits label_smoothing axis")),
    "categorical_focal_crossentropy": (
        "CategoricalFocalCrossentropy",
        _words("name from_logits label_smoothing axis alpha gamma"),
    ),
    "categorical_hinge": ("CategoricalHinge", _words("name")),
    "cosine_similarity": ("CosineSimilarity", _words("name axis")),
    "hinge": ("Hinge", _words("name")),
    "huber": ("Huber", _words("name delta")),
    "kl_divergence": ("KLDivergence", _words("name")),
    "log_cosh": ("LogCosh", _words("name")),
    "mean_absolute_error": ("MeanAbsoluteError", _words("name")),
    "mean_absolute_percentage_error": ("MeanAbsolutePercentageError", _words("name")),
    "mean_squared_error": ("MeanSquaredError", _words("name")),
    "mean_squared_logarithmic_error": ("MeanSquaredLogarithmicError", _words("name")),
    "poisson": ("Poisson", _words("name")),
    "sparse_categorical_crossentropy": ("SparseCategoricalCrossentropy", _words("name from_logits ignore_class")),
    "squared_hinge": ("SquaredHinge", _words("name")),
}
"""By the function's name: the class, and its settings but for the reduction."""

FUNCTIONS: dict[str, str] = {
    **{name: name for name in LOSSES},
    **{class_name: name for name, (class_name, _) in LOSSES.items()},
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "MSE": "mean_squared_error",
    "MAE": "mean_absolute_error",
    "MAPE": "mean_absolute_percentage_error",
    "MSLE": "mean_squared_logarithmic_error",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
    "KLD": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
    "logcosh": "log_cosh",
    "huber_loss": "huber",
    "cosine_proximity": "cosine_similarity",
}
"""Every name that some Keras had for a loss."""


@dataclass(frozen=True)
class _Metrics:
    """Metrics by the name of their function or class."""

    classes: dict[str, str]
    settings: dict[str, frozenset[str]]

    def get(self, name: str) -> str | None:
        return self.classes.get(name) or (name if name in self.settings else None)

    def allowed(self, class_name: str) -> frozenset[str]:
        return self.settings[class_name]


_THRESHOLDS = _words("name thresholds")
_METRIC_SETTINGS: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        _words(
            "Accuracy CategoricalAccuracy SparseCategoricalAccuracy MeanSquaredError RootMeanSquaredError "
            "MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredLogarithmicError Poisson KLDivergence "
            "LogCoshError Hinge SquaredHinge CategoricalHinge R2Score"
        ),
        _words("name"),
    ),
    "BinaryAccuracy": _words("name threshold"),
    "TopKCategoricalAccuracy": _words("name k"),
    "SparseTopKCategoricalAccuracy": _words("name k"),
    "BinaryCrossentropy": _words("name from_logits label_smoothing"),
    "CategoricalCrossentropy": _words("name from_logits label_smoothing axis"),
    "SparseCategoricalCrossentropy": _words("name from_logits axis"),
    "CosineSimilarity": _words("name axis"),
    "AUC": _words("name num_thresholds curve summation_method multi_label num_labels from_logits"),
    "Precision": _words("name thresholds top_k class_id"),
    "Recall": _words("name thresholds top_k class_id"),
    **dict.fromkeys(("TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives"), _THRESHOLDS),
    "F1Score": _words("name average threshold"),
}
METRICS = _Metrics(
    {
        "binary_accuracy": "BinaryAccuracy",
        "categorical_accuracy": "CategoricalAccuracy",
        "sparse_categorical_accuracy": "SparseCategoricalAccuracy",
        "top_k_categorical_accuracy": "TopKCategoricalAccuracy",
        "sparse_top_k_categorical_accuracy": "SparseTopKCategoricalAccuracy",
        "log_cosh": "LogCoshError",
        "LogCosh": "LogCoshError",
        **{name: class_name for name, (class_name, _) in LOSSES.items() if class_name in _METRIC_SETTINGS},
    },
    _METRIC_SETTINGS,
)

_COMMON = "name weight_decay clipnorm global_clipnorm clipvalue use_ema ema_momentum ema_overwrite_frequency"

OPTIMIZERS: dict[str, frozenset[str]] = {
    "SGD": _words(f"{_COMMON} momentum nesterov"),
    "RMSprop": _words(f"{_COMMON} rho momentum epsilon centered"),
    "Adam": _words(f"{_COMMON} beta_1 beta_2 epsilon amsgrad"),
    "AdamW": _words(f"{_COMMON} beta_1 beta_2 epsilon amsgrad"),
    "Adamax": _words(f"{_COMMON} beta_1 beta_2 epsilon"),
    "Nadam": _words(f"{_COMMON} beta_1 beta_2 epsilon"),
    "Adagrad": _words(f"{_COMMON} initial_accumulator_value epsilon"),
    "Adadelta": _words(f"{_COMMON} rho epsilon"),
    "Ftrl": _words(
        f"{_COMMON} learning_rate_power initial_accumulator_value l1_regularization_strength "
        "l2_regularization_strength l2_shrinkage_regularization_strength beta"
    ),
    "Lion": _words(f"{_COMMON} beta_1 beta_2"),
}
"""By class: settings but for the learning rate."""

DEFAULT_RATES = {"SGD": 0.01}
"""The learning rate of an optimizer that is given by its name, where it is not 0.001; in Keras 2.15 and 3 alike."""

SCHEDULES: dict[str, frozenset[str]] = {
    "ExponentialDecay": _words("initial_learning_rate decay_steps decay_rate staircase name"),
    "InverseTimeDecay": _words("initial_learning_rate decay_steps decay_rate staircase name"),
    "PiecewiseConstantDecay": _words("boundaries values name"),
    "PolynomialDecay": _words("initial_learning_rate decay_steps end_learning_rate power cycle name"),
    "CosineDecay": _words("initial_learning_rate decay_steps alpha name warmup_target warmup_steps"),
    "CosineDecayRestarts": _words("initial_learning_rate first_decay_steps t_mul m_mul alpha name"),
}

SLOTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "SGD": (("momentum",),),
    "RMSprop": (("velocity",), ("momentum",), ("average_gradient",)),
    "Adam": (("momentum", "velocity"), ("velocity_hat",)),
    "AdamW": (("momentum", "velocity"), ("velocity_hat",)),
    "Adamax": (("momentum", "norm"),),
    "Adagrad": (("accumulator",),),
    "Adadelta": (("accumulated_grad", "accumulated_delta_var"),),
    "Ftrl": (("accumulator", "linear"),),
    "Lion": (("momentum",),),
}
"""What an optimizer keeps for each variable, in the order of its variables behind the iteration and the learning rate:
group by group, and within a group all slots of one variable, then of the next. Source: keras/src/optimizers, `build`,
3.0.5 to 3.15.1. Nadam is left out: it also keeps a running product that Keras 2 does not store."""

SLOT_NAMES: dict[str, tuple[str, ...]] = {
    "momentum": ("momentum", "m"),
    "velocity": ("velocity", "v"),
    "velocity_hat": ("velocity_hat", "vhat"),
    "norm": ("norm", "u"),
}
"""Further names of slots in older releases, where they differ."""


def slots_of(optimizer: str, settings: dict[str, object]) -> tuple[tuple[str, ...], ...]:
    """The groups of slots that an optimizer of these settings has."""
    used = {
        "momentum": optimizer not in ("SGD", "RMSprop") or bool(settings.get("momentum")),
        "velocity_hat": bool(settings.get("amsgrad")),
        "average_gradient": bool(settings.get("centered")),
    }
    groups = (tuple(slot for slot in group if used.get(slot, True)) for group in SLOTS.get(optimizer, ()))
    return tuple(group for group in groups if group)
