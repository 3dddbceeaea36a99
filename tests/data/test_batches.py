import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from supcon_tf.data import Split
from supcon_tf.data.batches import Batches, evaluation_batches
from supcon_tf.errors import UserError

RANDAUGMENT = pytest.param("randaugment", marks=pytest.mark.slow)
POLICIES = ("none", "crop_flip", "resized_crop", "simclr", RANDAUGMENT)


@pytest.fixture(scope="module")
def split() -> Split:
    """Noise, except that the first pixel of image k is k."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (70, 8, 8, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(70)
    return Split(images, np.arange(70) % 5)


@pytest.fixture(scope="module")
def mapped(split, tmp_path_factory) -> Split:
    file = tmp_path_factory.mktemp("data") / "images"
    images = np.memmap(file, np.uint8, "w+", shape=split.images.shape)
    images[:] = split.images
    return dataclasses.replace(split, images=images)


def numbers(images) -> np.ndarray:
    return np.round(np.asarray(images)[:, 0, 0, 0] * 255).astype(int)


def collect(dataset) -> tuple[np.ndarray, np.ndarray]:
    batches = list(dataset.as_numpy_iterator())
    return np.stack([b[0] for b in batches]), np.stack([b[1] for b in batches])


def epoch(split, epoch=0, start_step=0, rows=None, **options) -> np.ndarray:
    batches = Batches(split, **{"batch_size": 16, "augmentation": "simclr"} | options)
    return collect(batches.epoch(epoch, start_step, rows))[0]


def test_every_image_appears_at_most_once_an_epoch_with_its_label(split):
    batches = Batches(split, batch_size=16)
    images, labels = collect(batches.epoch(0))
    assert images.shape == (4, 16, 8, 8, 3)
    assert batches.steps_per_epoch == 4
    seen = numbers(images.reshape(-1, 8, 8, 3))
    assert len(np.unique(seen)) == 64
    np.testing.assert_array_equal(split.labels[seen], labels.ravel())
    np.testing.assert_array_equal(
        np.round(images.reshape(-1, 8, 8, 3) * 255), split.images[seen]
    )


@pytest.mark.parametrize("views", [1, 2])
def test_shapes_types_and_length_are_known_before_a_batch_is_made(split, views):
    batches = Batches(split, batch_size=16, views=views, augmentation="crop_flip")
    dataset = batches.epoch(0, start_step=1)
    images, labels = dataset.element_spec
    assert images.shape == ((16, 8, 8, 3) if views == 1 else (16, 2, 8, 8, 3))
    assert images.dtype == tf.float32
    assert labels.shape == (16,)
    assert labels.dtype == tf.int64
    assert dataset.cardinality() == 3


@pytest.mark.parametrize("policy", POLICIES)
def test_epoch_resumed_at_any_step_has_the_same_pixels(split, policy):
    whole = epoch(split, views=2, augmentation=policy)
    # Made anew, as by a process that starts again.
    batches = Batches(split, batch_size=16, views=2, augmentation=policy)
    for step in (1, 3):
        images, _ = collect(batches.epoch(0, start_step=step))
        np.testing.assert_array_equal(images, whole[step:])


def test_epoch_resumed_at_its_end_is_empty(split):
    assert list(Batches(split, batch_size=16).epoch(0, start_step=4)) == []


@pytest.mark.parametrize(
    ("policy", "classes_per_batch"),
    [
        ("none", 4),
        ("crop_flip", 0),
        ("simclr", 4),
        pytest.param("randaugment", 0, marks=pytest.mark.slow),
    ],
)
def test_rows_are_those_of_the_global_batch(split, policy, classes_per_batch):
    batches = Batches(
        split,
        batch_size=16,
        augmentation=policy,
        views=2,
        classes_per_batch=classes_per_batch,
    )
    whole_images, whole_labels = collect(batches.epoch(0))
    for first, last in ((8, 16), (5, 6)):
        images, labels = collect(batches.epoch(0, rows=(first, last)))
        np.testing.assert_array_equal(images, whole_images[:, first:last])
        np.testing.assert_array_equal(labels, whole_labels[:, first:last])


@pytest.mark.parametrize("policy", ["crop_flip", "simclr", RANDAUGMENT])
def test_two_views_differ(split, policy):
    images = epoch(split, views=2, augmentation=policy)
    same = (images[:, :, 0] == images[:, :, 1]).all(axis=(2, 3, 4))
    assert same.mean() < 0.2


@pytest.mark.parametrize("policy", ["none", "simclr"])
@pytest.mark.parametrize(
    "change", [{"epoch": 1}, {"seed": 1}, {"stage": "finetune"}], ids=str
)
def test_epochs_seeds_and_stages_differ(split, policy, change):
    first = epoch(split, augmentation=policy)
    np.testing.assert_array_equal(first, epoch(split, augmentation=policy))
    assert not np.array_equal(first, epoch(split, augmentation=policy, **change))


def test_pixels_of_a_stage_are_the_same_on_every_machine(split):
    # Python's hash() of the stage's name would change from process to process.
    order = Batches(split, batch_size=4, seed=3, stage="finetune")._order(2)
    np.testing.assert_array_equal(order[0], [61, 50, 23, 64])


def test_each_batch_holds_the_classes_asked_for_in_equal_parts(split):
    batches = Batches(split, batch_size=12, classes_per_batch=3)
    images, labels = collect(batches.epoch(0))
    for row in labels:
        classes, counts = np.unique(row, return_counts=True)
        assert len(classes) == 3
        np.testing.assert_array_equal(counts, 4)
    for batch in images:
        assert len(np.unique(numbers(batch))) == 12
    # 60 places in 5 steps: each class is dealt three times, so 12 of its 14 images.
    assert len(np.unique(numbers(images.reshape(-1, 8, 8, 3)))) == 60


def test_class_with_too_few_images_repeats_them(split):
    few = np.flatnonzero((split.labels != 0) | (np.arange(70) < 10))
    batches = Batches(
        Split(split.images[few], split.labels[few]), batch_size=15, classes_per_batch=5
    )
    images, labels = collect(batches.epoch(0))
    rare = numbers(images[0])[labels[0] == 0]
    np.testing.assert_array_equal(np.unique(rare), [0, 5])
    assert len(rare) == 3


@pytest.mark.parametrize(
    ("options", "flag", "received"),
    [
        ({"batch_size": 71}, "--batch_size", "71"),
        ({"batch_size": 12, "classes_per_batch": 6}, "--classes_per_batch", "6"),
        ({"batch_size": 16, "classes_per_batch": 3}, "--classes_per_batch", "3 and 16"),
    ],
)
def test_batch_that_cannot_be_filled_is_refused(split, options, flag, received):
    with pytest.raises(UserError, match=f"{flag} must .*Received: {received}"):
        Batches(split, **options)


@pytest.mark.parametrize("rows", [(0, 17), (8, 8), (-1, 4)])
def test_rows_outside_the_batch_are_refused(split, rows):
    with pytest.raises(ValueError, match="rows must lie within the batch"):
        Batches(split, batch_size=16).epoch(0, rows=rows)


def test_mapped_images_give_the_batches_of_images_in_memory(split, mapped):
    np.testing.assert_array_equal(
        epoch(mapped, views=2, rows=(2, 9)), epoch(split, views=2, rows=(2, 9))
    )


def test_images_are_not_copied_into_the_graph(split):
    batches = Batches(split, batch_size=16)
    batches.epoch(0)
    (make,) = batches._makers.values()
    graph = make.get_concrete_function(
        tf.TensorSpec([16], tf.int64),
        tf.TensorSpec([16], tf.int64),
        tf.TensorSpec([2], tf.int64),
    ).graph
    assert graph.as_graph_def().ByteSize() < split.images.nbytes


@pytest.mark.parametrize("kind", ["memory", "mapped"])
def test_evaluation_batches_are_all_images_in_order(split, mapped, kind):
    source = split if kind == "memory" else mapped
    batches = list(evaluation_batches(source, 32).as_numpy_iterator())
    assert [len(labels) for _, labels in batches] == [32, 32, 6]
    images = np.concatenate([images for images, _ in batches])
    assert images.dtype == np.float32
    np.testing.assert_array_equal(np.round(images * 255), split.images)
    assert images.max() <= 1
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(labels, split.labels)


def test_nothing_is_tuned_so_that_no_epoch_waits_at_its_end(split):
    for dataset in (
        Batches(split, batch_size=8).epoch(0),
        evaluation_batches(split, 8),
    ):
        assert not dataset.options().autotune.enabled
