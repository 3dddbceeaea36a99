"""Twins of models: copies that must be the same function, tried where they are made."""

import contextlib
import inspect
import re
import tempfile
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from supcon_tf.errors import UserError
from supcon_tf.models.contrastive_classifier import ContrastiveClassifier

# Images that a model and its twin are compared on.
FEW = 4
# Height and width of images for models that take any.
_SIDE = 64
# The distance from 1 to the next number.
_STEPS = {"float64": 2**-52, "float32": 2**-23, "float16": 2**-10, "bfloat16": 2**-7}
_BEFORE_REASON = re.compile(r"Exception encountered(?: when calling[^\n]*|:)")
_COLOR = re.compile(r"\x1b\[\d*m")
# Outputs of less than this are taken for as large: float16 can't tell them from none.
_SMALLEST = 1e-4


@contextlib.contextmanager
def default_policy(policy: Any) -> Iterator[None]:
    """Makes a dtype policy that of all that is made within the block and names none.

    Keras writes the policy of a layer into its config, but not that of a model, within
    which even float32 layers would see their weights rounded to bfloat16.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def serialized(layer: keras.Layer) -> dict[str, Any]:
    """The config of a layer or model, to be changed and given to `deserialized`."""
    return keras.saving.serialize_keras_object(layer)


def deserialized(config: dict[str, Any], like: keras.Layer) -> Any:
    """A layer or model of a config, without the state of the one that it came from.

    Args:
        config: what `serialized` gave, changed or not.
        like: the one that it came from.
    """
    own = {}
    for layer in layers_of(like):
        functions = filter(inspect.isfunction, vars(layer).values())
        for known in (type(layer), *functions):
            if not known.__module__.startswith("keras."):
                own[keras.saving.get_registered_name(known)] = known
    # What runs in this process needs no registration, and is as safe as it was.
    with keras.saving.custom_object_scope(own):
        return keras.saving.deserialize_keras_object(config, safe_mode=False)


def copy_state(source: keras.Layer, target: keras.Layer) -> None:
    """Gives a built layer or model all that another of its config has learned.

    Some layers keep more than weights, such as `Normalization` what it made of its
    weights and the lookups their vocabulary; they hand it on as when they are saved.
    """
    for one, other in zip(layers_of(source), layers_of(target), strict=True):
        store: dict[str, Any] = {}
        one.save_own_variables(store)
        values = {name: np.asarray(value) for name, value in store.items()}
        other.load_own_variables(values)
        if hasattr(one, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                one.save_assets(folder)
                other.load_assets(folder)
    # The states of random generators belong to no layer.
    for variable, value in zip(_seeds(target), _seeds(source), strict=True):
        variable.assign(value.numpy())


def refuse_another_function(
    model: keras.Model, twin: keras.Model, what: str, images: np.ndarray | None = None
) -> None:
    """Compares a model and its twin on a few images, at inference.

    A model that answers at random can't be compared, and passes.

    Args:
        model: the original.
        twin: what was made of it.
        what: the twin in words, for the message.
        images: (N, H, W, C) float in [0, 1], of which a few are taken; noise of the
            shape that the model declares if None.

    Raises:
        UserError: if outputs differ by more than rounding explains: by the root of the
            step of the coarsest dtype that any layer computes in, as a share of the
            original's. (Of eight networks of `keras.applications` none came to more
            than a third of that, in bfloat16 and in float16.)
    """
    inputs = _noise_for(model) if images is None else images[:FEW]
    dtypes = {layer.compute_dtype for layer in layers_of(model) + layers_of(twin)}
    tolerance = max(_STEPS.get(dtype, 0) for dtype in dtypes) ** 0.5
    wanted = _outputs(model, inputs)
    error = _difference(wanted, _outputs(twin, inputs))
    if error <= tolerance or _difference(wanted, _outputs(model, inputs)) > tolerance:
        return
    raise UserError(
        f"{what} must be the same function as the model, but its outputs differ by "
        f"{error:.2g} of their size where rounding explains {tolerance:.2g}: a layer "
        "may keep something that its config and its weights do not hold. "
        f"Received: the model {model.name!r}"
    )


def reason_of(error: Exception) -> str:
    """What an error says happened, in one line of at most 300 characters.

    Keras puts much else around it: the whole config, or the layer, before what failed
    on it, and the arguments of a call after it.
    """
    text = _BEFORE_REASON.split(str(error))[-1]
    for ending in ("Full object config:", "Arguments received by"):
        text = text.partition(ending)[0]
    text = _COLOR.sub("", text)
    return " ".join(text.split())[:300] or type(error).__name__


def layers_of(layer: keras.Layer) -> list[keras.Layer]:
    """A layer or model and all within it, in an order that its twin's have too."""
    # Keras lists the layers of models publicly, but not those of layers.
    return layer._flatten_layers()


def _seeds(layer: keras.Layer) -> list[keras.Variable]:
    # A compiled model has the variables of its metrics, too.
    return [v for v in layer.variables if v.name == "seed_generator_state"]


def _outputs(model: keras.Model, inputs: Any) -> list[np.ndarray]:
    if isinstance(model, ContrastiveClassifier):
        outputs: Any = model.outputs_of(inputs)
        # Of features near 0 the direction is rounding; it is a function of them anyway.
        del outputs["embedding"]
    else:
        outputs = model(inputs, training=False)
    return [np.asarray(x).astype(np.float64) for x in keras.tree.flatten(outputs)]


def _difference(wanted: list[np.ndarray], found: list[np.ndarray]) -> float:
    """The largest difference of an image's output, as a share of its size."""
    worst = 0.0
    for one, other in zip(wanted, found, strict=True):
        # What is not a number in both is no difference.
        same = (one == other) | (np.isnan(one) & np.isnan(other))
        with np.errstate(invalid="ignore"):
            gap = np.where(same, 0, one - other).reshape(len(one), -1)
        size = np.linalg.norm(one.reshape(len(one), -1), axis=1)
        share = np.linalg.norm(gap, axis=1) / np.maximum(size, _SMALLEST)
        worst = max(worst, float(np.nan_to_num(share, nan=np.inf).max()))
    return worst


def _noise_for(model: keras.Model) -> Any:
    """Images, from dark to bright, for every input that a model declares."""
    if isinstance(model, ContrastiveClassifier):
        model = model.encoder
    declared = getattr(model, "inputs", None)
    if declared is None:
        # Subclassed models only know what they were built for.
        built = (model.get_build_config() or {}).get("input_shape")
        if built is None:
            raise UserError(
                "a model that declares no input must be called on images before it "
                f"is copied. Received: the model {model.name!r}"
            )
        declared = [keras.KerasTensor(built, "float32")]
    rng = np.random.default_rng(0)
    noise = []
    for tensor in declared:
        shape = [FEW, *(side or _SIDE for side in tensor.shape[1:])]
        brightness = np.linspace(0.25, 1, FEW).reshape(-1, *[1] * len(shape[1:]))
        noise.append((rng.random(shape) * brightness).astype(tensor.dtype))
    return noise[0] if len(noise) == 1 else noise
