"""Which wrong classes an attack aims at, one after the other."""

import numpy as np


def nearest_wrong_classes(
    logits: np.ndarray, labels: np.ndarray, count: int
) -> np.ndarray:
    """The classes that a model takes each image for next, from the nearest on.

    Args:
        logits: (N, classes) of the images themselves.
        labels: (N,) the true classes, which are left out.
        count: how many; there are never more than classes - 1.

    Returns:
        (N, min(count, classes - 1)) int32.
    """
    others = logits.astype(np.float64)
    others[np.arange(len(labels)), labels] = -np.inf
    order = np.argsort(-others, axis=1, kind="stable")
    return order[:, : min(count, logits.shape[1] - 1)].astype(np.int32)
