"""Choosing images: class-balanced samples, and shares that are held out.

`balanced_sample` and `stratified_split` depend on the labels, their order and the seed
alone, `split_by_name` on the images' names and not on their order.
"""

import hashlib
import os
from collections.abc import Iterable

import numpy as np


def balanced_sample(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` indices with the same number of each class, as far as there are enough.

    Classes that run out give all they have and the others make up for them; what can't
    be shared evenly goes to classes drawn by the seed. A larger sample of the same
    labels and seed contains the smaller one.

    Args:
        labels: (N,) integers.
        count: how many indices; all N if it is N or more.
        seed: of the choice.

    Returns:
        Distinct indices into `labels`, int64, ascending.
    """
    if count >= len(labels):
        return np.arange(len(labels))
    classes, sizes = np.unique(labels, return_counts=True)
    rng = np.random.default_rng([seed, 0])
    class_order = rng.permutation(len(classes))
    members = [rng.permutation(np.flatnonzero(labels == name)) for name in classes]
    # The images in the order in which a growing sample takes them: the first image of
    # every class, then the second of every class that has one, and so on.
    turn = np.concatenate([np.arange(size) for size in sizes])
    position = np.empty(len(classes), np.int64)
    position[class_order] = np.arange(len(classes))
    order = np.lexsort((np.repeat(position, sizes), turn))
    return np.sort(np.concatenate(members)[order[:count]])


def stratified_split(
    labels: np.ndarray, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Divides indices into those kept and a held-out share of every class.

    The share holds out `round(share * N)` images in total. Each class gives the whole
    part of `share * size`; the images still missing come from the classes with the
    largest remainders, ties drawn by the seed. Every class keeps at least one image, so
    fewer are held out where the share asks for more than N - classes.

    Args:
        labels: (N,) integers.
        share: in [0, 1).
        seed: of the choice.

    Returns:
        (kept, held): indices into `labels`, int64, ascending and disjoint.
    """
    classes, sizes = np.unique(labels, return_counts=True)
    rng = np.random.default_rng([seed, 1])
    tie_break = rng.permutation(len(classes))
    total = min(round(share * len(labels)), int((sizes - 1).sum()))
    quota = share * sizes
    counts = np.minimum(np.floor(quota).astype(np.int64), sizes - 1)
    # Rounded, because equal remainders may differ in their last bits.
    remainder = np.round(quota - np.floor(quota), 9)
    order = np.lexsort((tie_break, -remainder))
    while counts.sum() < total:
        for position in order:
            if counts.sum() < total and counts[position] < sizes[position] - 1:
                counts[position] += 1
    held = [
        rng.permutation(np.flatnonzero(labels == name))[:count]
        for name, count in zip(classes, counts, strict=True)
    ]
    chosen = np.zeros(len(labels), bool)
    chosen[np.concatenate([*held, np.empty(0, np.int64)])] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def split_by_name(
    labels: np.ndarray, names: Iterable[str], share: float, seed: int, purpose: str
) -> tuple[np.ndarray, np.ndarray]:
    """Divides indices into those kept and a held-out share, each by its own name.

    An image is held out if a hash of its name lies within the share, whatever other
    images there are: one that is added or removed moves no other. So the share is met
    on average only. The exceptions: a class of which the share is more than half an
    image gives at least one (so one that grows to that size may give an image that it
    kept), and every class keeps one.

    Args:
        labels: (N,) integers.
        names: (N,), distinct.
        share: in [0, 1).
        seed: of the choice.
        purpose: sets choices of one seed apart.

    Returns:
        (kept, held): indices into `labels`, int64, ascending and disjoint.

    Reference:
        `which_set` of https://arxiv.org/abs/1804.03209.
    """
    salt = f"{seed}/{purpose}/".encode()
    places = np.fromiter(
        (_place(salt + os.fsencode(name)) for name in names), float, len(labels)
    )
    chosen = places < share
    for members in _members(labels):
        by_place = members[np.argsort(places[members])]
        chosen[by_place[0]] |= round(share * len(members)) >= 1
        # Last, so that a class of one image keeps it.
        chosen[by_place[-1]] = False
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _place(content: bytes) -> float:
    """A hash in [0, 1)."""
    digest = hashlib.blake2b(content, digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def _members(labels: np.ndarray) -> list[np.ndarray]:
    """The indices of each class."""
    order = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[order], return_index=True)
    return np.split(order, starts[1:])
