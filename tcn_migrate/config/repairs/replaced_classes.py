"""Classes that Keras 3 lacks, by those that compute the same, and classes whose meaning changed."""

from __future__ import annotations

from tcn_migrate.checkpoint import Json
from tcn_migrate.config.repairs.change import Change, new_layer, with_config
from tcn_migrate.errors import SettingError, quoted


def thresholded_relu(entry: Json) -> Change | None:
    """ThresholdedReLU(theta) as ReLU(threshold=theta).

    Since: Keras 3.0 has no ThresholdedReLU.
    Issue: "Unknown layer: 'ThresholdedReLU'".
    """
    if entry["class_name"] != "ThresholdedReLU":
        return None
    theta = entry["config"].get("theta", 1.0)
    made = with_config(entry, "theta", max_value=None, negative_slope=0.0, threshold=theta)
    return Change({**made, "class_name": "ReLU"}, "ThresholdedReLU is ReLU with a threshold in Keras 3")


def synchronized_batch_normalization(entry: Json) -> Change | None:
    """`SyncBatchNormalization` as `BatchNormalization(synchronized=True)`.

    Since: TensorFlow 2.2 to 2.15 have the class; Keras 3.0 has not.
    Issue: "Unknown layer: 'SyncBatchNormalization'".
    """
    if entry["class_name"] != "SyncBatchNormalization":
        return None
    made = {**with_config(entry, synchronized=True), "class_name": "BatchNormalization"}
    return Change(made, "SyncBatchNormalization is BatchNormalization(synchronized=True) in Keras 3")


def losses_and_metrics(entry: Json) -> Change | None:
    """`model.add_loss` and `model.add_metric` are layers in Keras 2 that hand their input on; so does an Identity.

    Since: TensorFlow 2.1 to 2.15 write them; Keras 3.0 has neither.
    Issue: "Unknown layer: 'AddLoss'".
    """
    if entry["class_name"] not in {"AddLoss", "AddMetric"}:
        return None
    sentence = "a loss or metric that was added to the model is for training alone; it hands its input on"
    return Change(_identity(entry), sentence)


def random_sizes(entry: Json) -> Change | None:
    """RandomHeight and RandomWidth hand their input on in inference; so does an Identity.

    Since: TensorFlow 2.3 to 2.15 have them; Keras 3.0 has neither. Measured with TensorFlow 2.4.4 and 2.15.1.
    Issue: "Unknown layer: 'RandomHeight'".
    """
    if entry["class_name"] not in {"RandomHeight", "RandomWidth"}:
        return None
    sentence = f"{entry['class_name']} changes images in training alone, and Keras 3 lacks it; it hands its input on"
    return Change(_identity(entry), sentence)


def _identity(entry: Json) -> Json:
    """An Identity in a layer's place, called with the input alone."""
    config = {key: entry["config"][key] for key in ("name", "trainable", "dtype") if key in entry["config"]}
    made = {**entry, "class_name": "Identity", "config": config}
    if "inbound_nodes" in entry:
        made["inbound_nodes"] = [{**call, "kwargs": {}} for call in entry["inbound_nodes"]]
    return made


def random_crop(entry: Json) -> Change | None:
    """RandomCrop in inference cuts to the aspect ratio and resizes in Keras 2, and does nothing in Keras 3.

    Since: Keras 3.0; Keras 2.7 for the order of cutting and resizing (see `random_crop_that_resizes_first`).
    Issue: none known; measured with Keras 2.15.
    """
    if entry["class_name"] != "RandomCrop":
        return None
    config = entry["config"]
    kept = {
        key: config[key] for key in ("name", "trainable", "dtype", "height", "width", "data_format") if key in config
    }
    made = {**entry, "class_name": "Resizing", "config": {**kept, "crop_to_aspect_ratio": True}}
    return Change(made, "RandomCrop resizes in inference in Keras 2 and not in Keras 3; a Resizing does the same")


def random_crop_that_resizes_first(entry: Json) -> Change | None:
    """RandomCrop below Keras 2.7 resizes in inference and then cuts, which no layer of Keras 3 does.

    Since: TensorFlow 2.3 to 2.6 write such files.
    Issue: none known; measured with TensorFlow 2.4: off by 3 deviations if taken for the later one.

    Raises:
        SettingError: always.
    """
    if entry["class_name"] != "RandomCrop":
        return None
    raise SettingError(
        "RandomCrop below Keras 2.7 resizes and then cuts, which Keras 3 cannot",
        address=f"layer {quoted(entry['config'].get('name'))}",
    )


def bilinear_up_sampling(entry: Json) -> Change | None:
    """UpSampling2D by "bilinear" in Keras without TensorFlow's name takes corners for centres, as TensorFlow 1 did.

    Since: keras 2.2.3 to 2.3.1; tf.keras always took centres, as Keras 3 does.
    Issue: none known; measured with keras 2.3.1 on TensorFlow 1.15: off by 2 deviations.

    Raises:
        SettingError: always.
    """
    if entry["class_name"] != "UpSampling2D" or entry["config"].get("interpolation", "nearest") == "nearest":
        return None
    raise SettingError(
        "it interpolates as TensorFlow 1 did, which Keras 3 cannot",
        address=f"layer {quoted(entry['config'].get('name'))}",
    )


UNSALTED = [0xDECAFCAFFE, 0xDECAFCAFFE]
"""What TensorFlow 2.3 and 2.4 store as the salt of a Hashing layer that has none (`_DEFAULT_SALT_KEY`)."""


def unsalted_hashing(entry: Json) -> Change | None:
    """Hashing without a salt, of which early releases store a constant of theirs that they do not hash with.

    Since: TensorFlow 2.3 and 2.4 store the constant; Keras 3 would take it for a salt, which is another hash.
    Issue: none known; without it the layer is silently another function.
    """
    if entry["class_name"] != "Hashing" or entry["config"].get("salt") != UNSALTED:
        return None
    return Change(with_config(entry, salt=None), "the stored salt is a constant for none at all")


def hashing(entry: Json) -> Change | None:
    """Hashing to whole numbers: below TensorFlow 2.9 its dtype is that of its inputs.

    Since: Keras 3.0 wants the dtype of its outputs.
    Issue: "When `output_mode="int"`, `dtype` should be an integer type".
    """
    config = entry["config"]
    if (
        entry["class_name"] != "Hashing"
        or config.get("output_mode", "int") != "int"
        or "int" in config.get("dtype", "")
    ):
        return None
    return Change(with_config(entry, dtype="int64"), "its dtype is that of its outputs in Keras 3")


def causal_separable_convolution(entry: Json) -> Change | None:
    """SeparableConv1D with causal padding: zeros in front, then no padding.

    Since: Keras 3.0 takes "same" and "valid" alone.
    Issue: "Invalid padding value"; measured with TensorFlow 2.4: agrees to 7e-7.

    Raises:
        SettingError: channels first, where no release before Keras 3.5 can pad.
    """
    config = entry["config"]
    if entry["class_name"] != "SeparableConv1D" or config.get("padding") != "causal":
        return None
    if config.get("data_format") == "channels_first":
        raise SettingError(
            "it has causal padding and the channels first, which Keras 3 cannot",
            address=f"layer {quoted(config['name'])}",
        )
    left = (_one(config.get("kernel_size")) - 1) * _one(config.get("dilation_rate", 1))
    dtype = {"dtype": config["dtype"]} if "dtype" in config else {}
    front = new_layer("ZeroPadding1D", f"{config.get('name', 'separable_conv1d')}_padding", padding=[left, 0], **dtype)
    sentence = f"Keras 3 has no causal padding for SeparableConv1D; {left} zeros are put in front of its input"
    return Change(with_config(entry, padding="valid"), sentence, before=(front,))


def _one(value: object) -> int:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, int) or value < 1:
        raise SettingError("a kernel size or dilation is not a positive whole number", found=quoted(value))
    return value


def resizing_by_lost_methods(entry: Json) -> Change | None:
    """Resizing with a method that Keras 3 cannot compute is refused.

    Since: Keras 3.0 builds it, and fails when it is called.
    Issue: none known; measured.

    Raises:
        SettingError: always, if the method is one of these.
    """
    method = entry["config"].get("interpolation")
    if entry["class_name"] == "Resizing" and method in {"gaussian", "mitchellcubic"}:
        raise SettingError(
            f"it resizes by {quoted(method)}, which Keras 3 cannot",
            address=f"layer {quoted(entry['config'].get('name'))}",
        )
    return None


def discretization(entry: Json) -> Change | None:
    """Discretization with whole numbers as output: in Keras 3 its dtype is that of the inputs, and cuts them off.

    Since: Keras 3.0.
    Issue: none known; measured with Keras 2.15: off by 1.7 deviations.

    Raises:
        SettingError: its boundaries were learned and stand outside of the config.
    """
    if entry["class_name"] != "Discretization":
        return None
    config = entry["config"]
    boundaries = config.get("bin_boundaries", config.get("bins"))
    if boundaries is None:
        raise SettingError(
            "its boundaries were adapted to data and are not in the config",
            address=f"layer {quoted(config.get('name'))}",
        )
    if str(config.get("dtype", "float32")).startswith("float") and "bins" not in config:
        return None
    made = with_config(entry, "bins", bin_boundaries=boundaries, dtype="float32")
    return Change(made, "its dtype is that of its inputs in Keras 3")
