"""Whether a model can be attacked on the images of a data set."""

from typing import Any

import keras

from supcon_tf.attacks import Target
from supcon_tf.data import ImageData
from supcon_tf.errors import UserError
from supcon_tf.models import ContrastiveClassifier

_TRIED = 2


def check_fits(model: keras.Model, data: ImageData, origin: str) -> None:
    """Tries a model on some images before hours are spent on it.

    Args:
        model: any Keras model.
        data: what it shall classify.
        origin: the flag or the file that the model came from, for the message.

    Raises:
        ProbabilityOutputError: if the output is a probability.
        UserError: if it wants other images, has other classes, gives no logits, or
            can't be called.
    """
    wanted = _image_shape(model)
    if wanted is not None and not _agree(wanted, data.image_shape):
        raise UserError(
            f"{origin} must take images of {data.name}, {data.image_shape}. "
            f"Received: a model of {wanted} inputs"
        )
    names = getattr(model, "class_names", None)
    if names and tuple(names) != data.class_names:
        raise UserError(
            f"{origin} must know the {data.num_classes} classes of {data.name} "
            f"({_some(data.class_names)}). Received: a model of {len(names)} classes "
            f"({_some(names)})"
        )
    images = data.test.pixels(slice(_TRIED))
    try:
        target = Target(model, images)
    except UserError as error:
        raise type(error)(f"{origin}: {error}") from error
    if target.classes != data.num_classes:
        raise UserError(
            f"{origin} must give {data.num_classes} logits, one for each class of "
            f"{data.name}. Received: {target.classes} logits"
        )


def _image_shape(model: keras.Model) -> tuple[int | None, ...] | None:
    """(H, W, C) as the model declares it, None where sizes are open; None if not."""
    if isinstance(model, ContrastiveClassifier):
        model = model.encoder
    shape = getattr(model, "input_shape", None)
    return tuple(shape[1:]) if isinstance(shape, tuple) else None


def _agree(wanted: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    return len(wanted) == len(shape) and all(
        one in (None, other) for one, other in zip(wanted, shape, strict=True)
    )


def _some(names: Any) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
