import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supcon_tf.data.splits import (
    balanced_sample,
    split_by_name,
    stratified_split,
)

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=60).map(np.array)


def counts(labels, indices, classes):
    return np.bincount(labels[indices], minlength=classes)


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ([10, 10, 10], 9, [3, 3, 3]),
        ([1, 10, 10], 9, [1, 4, 4]),
        ([1, 2, 10], 9, [1, 2, 6]),
        ([3, 3, 3], 9, [3, 3, 3]),
        ([3, 3, 3], 100, [3, 3, 3]),
    ],
)
def test_sample_is_balanced_up_to_availability(sizes, count, expected):
    labels = np.repeat(np.arange(3), sizes)
    chosen = balanced_sample(labels, count, seed=0)
    np.testing.assert_array_equal(counts(labels, chosen, 3), expected)


@settings(max_examples=50, deadline=None)
@given(LABELS, st.integers(1, 60), st.integers(0, 5))
def test_sample_has_the_count_asked_for_and_no_image_twice(labels, count, seed):
    chosen = balanced_sample(labels, count, seed)
    assert len(np.unique(chosen)) == len(chosen) == min(count, len(labels))
    np.testing.assert_array_equal(chosen, np.sort(chosen))
    sizes = np.bincount(labels, minlength=7)
    taken = counts(labels, chosen, 7)
    # Only a class that has no more may lie more than one below the largest.
    assert np.all((taken >= taken.max() - 1) | (taken == sizes))


@settings(max_examples=30, deadline=None)
@given(LABELS, st.integers(1, 30), st.integers(0, 5))
def test_larger_sample_contains_the_smaller(labels, count, seed):
    small = balanced_sample(labels, count, seed)
    large = balanced_sample(labels, count + 3, seed)
    assert set(small) <= set(large)


@pytest.mark.parametrize("choose", [balanced_sample, stratified_split])
def test_choice_repeats_with_its_seed_and_differs_with_another(choose):
    labels = np.arange(100) % 5
    amount = 20 if choose is balanced_sample else 0.2

    def chosen(seed):
        result = choose(labels, amount, seed)
        return result if choose is balanced_sample else result[1]

    np.testing.assert_array_equal(chosen(1), chosen(1))
    assert not np.array_equal(chosen(1), chosen(2))


@settings(max_examples=100, deadline=None)
@given(LABELS, st.floats(0, 0.99), st.integers(0, 5))
def test_split_is_exact_disjoint_and_leaves_each_class_an_image(labels, share, seed):
    kept, held = stratified_split(labels, share, seed)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([kept, held])), np.arange(len(labels))
    )
    classes = len(np.unique(labels))
    assert len(held) == min(round(share * len(labels)), len(labels) - classes)
    assert set(labels[kept]) == set(labels)


@pytest.mark.parametrize(
    ("sizes", "share", "expected"),
    [
        ([10, 10, 10], 0.1, [1, 1, 1]),
        ([100, 50, 10], 0.1, [10, 5, 1]),
        # 0.6 + 0.3 + 0.1 of an image: the one image comes from the largest remainder.
        ([60, 30, 10], 0.01, [1, 0, 0]),
        # The class of one image keeps it.
        ([1, 9], 0.5, [0, 5]),
        ([100, 100], 0.29, [29, 29]),
    ],
)
def test_split_rounds_to_the_largest_remainders(sizes, share, expected):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    _, held = stratified_split(labels, share, seed=0)
    np.testing.assert_array_equal(counts(labels, held, len(sizes)), expected)


def test_tiny_share_takes_from_classes_that_the_seed_draws():
    labels = np.arange(1000) % 100
    drawn = set()
    for seed in range(3):
        _, held = stratified_split(labels, 0.01, seed)
        assert len(set(labels[held])) == len(held) == 10
        drawn |= set(labels[held])
    assert len(drawn) > 10


def held_names(names, labels, share, seed=0, purpose="test"):
    kept, held = split_by_name(np.array(labels), names, share, seed, purpose)
    assert sorted([*kept, *held]) == list(range(len(names)))
    return {names[index] for index in held}


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(0, 20), st.floats(0, 0.9), st.integers(0, 3))
def test_files_that_come_move_no_file_from_train_to_test(count, more, share, seed):
    old = [f"train/cat/{index}.png" for index in range(count)]
    # They sort before, between and behind the others.
    new = sorted([*old, *(f"train/cat/{index}5.jpg" for index in range(more))])
    before = held_names(old, [0] * count, share, seed)
    after = held_names(new, [0] * len(new), share, seed)
    # But for the one that a class kept though all of its images fell to test, and the
    # only one, that a class gives from a size on where the share is half an image.
    kept_one, gives_one = len(before) == len(old) - 1, not before and len(after) == 1
    assert after & set(old) <= before or kept_one or gives_one
    # But for the one that a class gave though none did.
    assert len(before - after) <= 1


def test_files_are_held_out_by_their_share_of_each_class_and_their_seed():
    names = [f"train/{'cat' if index % 3 else 'dog'}/{index}" for index in range(6000)]
    labels = [int(index % 3 > 0) for index in range(6000)]
    held = held_names(names, labels, 0.2)
    for name, size in (("cat", 4000), ("dog", 2000)):
        count = sum(f"/{name}/" in each for each in held)
        # Five deviations of a binomial count.
        assert abs(count - 0.2 * size) < 5 * (0.16 * size) ** 0.5
    assert held_names(names[::-1], labels[::-1], 0.2) == held
    for other in ({"seed": 1}, {"purpose": "validation"}):
        shared = held & held_names(names, labels, 0.2, **other)
        assert len(shared) / len(held) < 0.3


def test_each_class_gives_an_image_and_keeps_one():
    for size, share, bounds in (
        (3, 0.2, (1, 2)),
        (2, 0.2, (0, 1)),
        (1, 0.9, (0, 0)),
        (40, 0.99, (1, 39)),
        (40, 0.0, (0, 0)),
    ):
        for seed in range(20):
            names = [f"{index}" for index in range(size)]
            held = held_names(names, [0] * size, share, seed)
            assert bounds[0] <= len(held) <= bounds[1]
