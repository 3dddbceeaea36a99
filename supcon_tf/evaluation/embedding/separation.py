"""Geometry of labelled vectors: cosines and neighbours."""

import numpy as np


def mean_cosines(
    embeddings: np.ndarray, labels: np.ndarray
) -> tuple[float | None, float | None]:
    """Mean cosine over all pairs of one class, and over all pairs of two classes.

    With S_c the sum of a class's vectors, the sum over its ordered pairs (i, i) too is
    `S_c . S_c`; so class sums give both means in O(N D).

    Args:
        embeddings: (N, D) unit vectors.
        labels: (N,) integers.

    Returns:
        (intra, inter); None where there is no such pair.
    """
    vectors = embeddings.astype(np.float64)
    _, class_of, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), vectors.shape[1]))
    np.add.at(sums, class_of, vectors)
    within, total = (sums**2).sum(), (sums.sum(axis=0) ** 2).sum()
    positive_pairs = int((sizes * (sizes - 1)).sum())
    negative_pairs = int(len(labels) ** 2 - (sizes**2).sum())
    intra = (within - (vectors**2).sum()) / positive_pairs if positive_pairs else None
    inter = (total - within) / negative_pairs if negative_pairs else None
    return (
        None if intra is None else float(intra),
        None if inter is None else float(inter),
    )


def pair_cosines(
    embeddings: np.ndarray, labels: np.ndarray, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of `count` random pairs of one class and of two classes.

    Every ordered pair is as likely as any other; pairs may repeat.

    Args:
        embeddings: (N, D) unit vectors.
        labels: (N,) integers.
        count: of pairs of each kind.
        seed: of the choice.

    Returns:
        Two arrays (count,); empty where there is no such pair.
    """
    total = len(labels)
    rng = np.random.default_rng([seed, 2])
    # Sorted by class, the partners of an image are one run, which wraps around.
    order = np.argsort(labels, kind="stable")
    _, first, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    start, size = np.repeat(first, sizes), np.repeat(sizes, sizes)

    def drawn(partners: np.ndarray, partner_of: str) -> np.ndarray:
        if not partners.sum():
            return np.zeros(0, np.float32)
        left = rng.choice(total, count, p=partners / partners.sum())
        step = rng.integers(partners[left])
        if partner_of == "same":
            right = start[left] + (left - start[left] + 1 + step) % size[left]
        else:
            right = (start[left] + size[left] + step) % total
        pairs = embeddings[order[left]] * embeddings[order[right]]
        return pairs.sum(axis=1).astype(np.float32)

    return drawn(size - 1, "same"), drawn(total - size, "other")


def nearest_neighbour_predictions(
    known: np.ndarray, known_labels: np.ndarray, unknown: np.ndarray, neighbours: int
) -> np.ndarray:
    """The class that most of an image's nearest neighbours have.

    A tie goes to the class whose tied neighbours are nearer, by their summed cosine.

    Args:
        known: (M, D) unit vectors.
        known_labels: (M,) integers from 0 on.
        unknown: (N, D) unit vectors.
        neighbours: how many vote, at most M.

    Returns:
        (N,) labels.
    """
    # scikit-learn takes a second to load, which other evaluations need not wait for.
    from sklearn.neighbors import KNeighborsClassifier

    def votes(distances: np.ndarray) -> np.ndarray:
        # Cosines sum up to less than a quarter of a vote: they decide ties only.
        return 1 + (1 - distances) / (4 * neighbours)

    search = KNeighborsClassifier(neighbours, weights=votes, metric="cosine")
    search.fit(_finite(known), known_labels)
    return search.predict(_finite(unknown))


def _finite(vectors: np.ndarray) -> np.ndarray:
    """Vectors of a model that has diverged, as ones that are near to none."""
    return np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, 0)
