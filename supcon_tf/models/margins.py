"""Distances to the decision boundaries of a linear classifier."""

import numpy as np


def signed_margins(
    vectors: np.ndarray, labels: np.ndarray, kernel: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Distance of each vector to the nearest decision boundary of a linear classifier.

    `min over j != y of (f_y - f_j) / ||w_y - w_j||` with `f = vectors @ kernel + bias`;
    negative if another class wins. Classes with the very weights of y have no boundary
    with it and are left out; a vector without any boundary has margin 0.

    Args:
        vectors: (N, F), what the classifier reads.
        labels: (N,) integers below C.
        kernel: (F, C).
        bias: (C,).

    Returns:
        (N,) float64.
    """
    margins = np.zeros(len(labels))
    for label in np.unique(labels):
        rows = labels == label
        logits = vectors[rows].astype(np.float64) @ kernel + bias
        gaps = logits[:, [label]] - logits
        distances = np.linalg.norm(kernel - kernel[:, [label]], axis=0)
        others = distances > 0
        if others.any():
            margins[rows] = (gaps[:, others] / distances[others]).min(axis=1)
    return margins


def relative_margins(
    vectors: np.ndarray, labels: np.ndarray, kernel: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """`signed_margins` in lengths of each vector, so that stages compare; 0 for none.

    Args and returns: as for `signed_margins`.
    """
    margins = signed_margins(vectors, labels, kernel, bias)
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return np.divide(margins, lengths, out=np.zeros_like(margins), where=lengths > 0)
