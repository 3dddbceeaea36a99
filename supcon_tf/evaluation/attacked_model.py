"""A model as it is attacked: in full precision, and without batch norm to compute."""

import keras

from supcon_tf.data import Split
from supcon_tf.models import ContrastiveClassifier
from supcon_tf.models.build import in_full_precision
from supcon_tf.models.folding import fold_batch_norm
from supcon_tf.models.twin import FEW, layers_of


def for_attacks(model: keras.Model, split: Split | None = None) -> keras.Model:
    """The same function, in full precision and quicker: batch norm folded away.

    Args:
        model: any Keras model.
        split: images that it takes, on a few of which the two are compared.

    Raises:
        UserError: if the model can't be computed in full precision.
    """
    images = None
    if split is not None and len(split):
        images = split.pixels(slice(FEW))
    model = in_full_precision(model, images)
    norm = keras.layers.BatchNormalization
    has_norm = any(isinstance(layer, norm) for layer in layers_of(model))
    foldable = isinstance(model, ContrastiveClassifier) and has_norm
    return fold_batch_norm(model, images) if foldable else model
