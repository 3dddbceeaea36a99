"""Which images make up which batch: numpy only, a pure function of its generator."""

import numpy as np


def shuffled(count: int, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """(steps, batch_size) indices below `count`, none twice; the remainder is left."""
    steps = count // batch_size
    return rng.permutation(count)[: steps * batch_size].reshape(steps, batch_size)


def by_class(
    labels: np.ndarray,
    batch_size: int,
    classes_per_batch: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """(steps, batch_size) indices, each row with as many images of each of C classes.

    Classes, and within each class images, are dealt from shuffled decks: each is met
    once before any is met again, and none is met twice in a batch unless the class has
    fewer than batch_size / C images.
    """
    classes = np.unique(labels)
    class_deck = _Deck(classes, rng)
    decks = {name: _Deck(np.flatnonzero(labels == name), rng) for name in classes}
    each = batch_size // classes_per_batch
    steps = len(labels) // batch_size
    order = np.empty((steps, batch_size), np.int64)
    for row in order:
        names = class_deck.deal(classes_per_batch)
        # Shuffled, so that the rows of one replica hold all classes alike.
        row[:] = rng.permutation(np.concatenate([decks[n].deal(each) for n in names]))
    return order


class _Deck:
    """Cards that are dealt from a shuffled pile, which is shuffled anew when empty."""

    def __init__(self, cards: np.ndarray, rng: np.random.Generator) -> None:
        self._cards = cards
        self._rng = rng
        self._pile = rng.permutation(cards)

    def deal(self, count: int) -> np.ndarray:
        """`count` cards, without a double if there are that many."""
        hands = []
        while count > len(self._cards):
            hands.append(self._cards)
            count -= len(self._cards)
        hand, self._pile = self._pile[:count], self._pile[count:]
        missing = count - len(hand)
        if missing:
            fresh = self._rng.permutation(self._cards)
            # What is in the hand already goes back below what is dealt now.
            drawn = fresh[~np.isin(fresh, hand)][:missing]
            self._pile = fresh[~np.isin(fresh, drawn)]
            hand = np.concatenate([hand, drawn])
        return np.concatenate([*hands, hand])
