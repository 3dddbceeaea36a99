"""Snapshots, read back from the files and through the real TensorBoard."""

import csv
import io
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard_server import tensorboard_server

from supcon_tf.attacks import FGSM
from supcon_tf.config import ModelConfig
from supcon_tf.data import Split
from supcon_tf.data.splits import balanced_sample
from supcon_tf.models.build import build_classifier, in_full_precision
from supcon_tf.models.margins import relative_margins
from supcon_tf.visualization.tensorboard.projector import SnapshotWriter

pytestmark = pytest.mark.usefixtures("shallow")

NAMES = ("plain", "a\ttab", "two\nlines", "ß → %&+")
ESCAPED = ("plain", "a\\ttab", "two\\nlines", "ß → %&+")
EPSILON = 8 / 255


def small_model(policy="float32"):
    config = ModelConfig(width=4)
    mean, std = (0.5,) * 3, (0.25,) * 3
    return build_classifier(config, (12, 8, 3), NAMES, mean, std, policy)


@pytest.fixture(scope="module")
def split():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 12, 8, 3), np.uint8)
    return Split(images, rng.permutation(40) % 4)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def writer(model, split, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    writer = SnapshotWriter(
        model, split, folder, class_names=NAMES, count=30, seed=3, epsilon=EPSILON
    )
    writer.write("pretrain")
    return writer, folder


@pytest.fixture(scope="module")
def server(writer):
    with tensorboard_server(writer[1]) as server:
        server.wait_for(lambda: server.get_json("plugin/projector/runs"))
        yield server


@pytest.fixture(scope="module")
def seen(model, split):
    """The images (30, ...) in [0,1] that each tensor should show, and their labels."""
    rows = balanced_sample(split.labels, 30, 3)
    clean, labels = split.pixels(rows), split.labels[rows]
    attacked = FGSM(epsilon=EPSILON)(model, clean, labels).numpy()
    return {"clean": clean, "adversarial": attacked}, labels


def fetch(server, what, kind, name="pretrain"):
    return server.get(
        f"plugin/projector/{what}", run="projector", name=f"{name} {kind}"
    )


def listed(server):
    config = server.get_json("plugin/projector/info", run="projector")
    return {info["tensorName"]: info for info in config["embeddings"]}


def vectors(folder, name, kind):
    return np.loadtxt(folder / "projector" / f"{name}-{kind}.tsv", dtype=np.float32)


def test_tensorboard_lists_one_run_with_a_clean_and_an_adversarial_tensor(server):
    assert server.get_json("plugin/projector/runs") == ["projector"]
    tensors = listed(server)
    assert list(tensors)[:2] == ["pretrain clean", "pretrain adversarial"]
    for info in tensors.values():
        assert info["tensorShape"] == [30, 4]
        assert info["sprite"]["singleImageDim"] == [8, 12]


@pytest.mark.parametrize("kind", ["clean", "adversarial"])
def test_tensorboard_serves_the_embeddings_of_the_model(server, model, seen, kind):
    served = np.frombuffer(fetch(server, "tensor", kind), np.float32).reshape(30, -1)
    np.testing.assert_allclose(served, model.embed(seen[0][kind]), atol=1e-6)


@pytest.mark.parametrize("kind", ["clean", "adversarial"])
def test_tensorboard_serves_what_the_model_says_of_each_image(
    server, model, seen, kind
):
    text = fetch(server, "metadata", kind).decode()
    rows = list(
        csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    )
    images, labels = seen[0][kind], seen[1]
    predicted = np.argmax(model(images), axis=1)
    assert [row["class"] for row in rows] == [ESCAPED[i] for i in labels]
    assert [row["class id"] for row in rows] == [str(i) for i in labels]
    assert [row["predicted"] for row in rows] == [ESCAPED[i] for i in predicted]
    assert [row["correct"] == "yes" for row in rows] == list(predicted == labels)
    assert {row["images"] for row in rows} == {kind}
    margins = relative_margins(
        model.features(images).numpy(), labels, *model.classifier.get_weights()
    )
    np.testing.assert_allclose(
        [float(row["margin"]) for row in rows], margins, rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["clean", "adversarial"])
def test_tensorboard_serves_a_sprite_of_the_images_in_the_order_of_the_rows(
    server, seen, kind
):
    sheet = np.asarray(Image.open(io.BytesIO(fetch(server, "sprite_image", kind))))
    assert sheet.shape == (5 * 12, 6 * 8, 3)
    for number, image in enumerate(seen[0][kind]):
        row, column = divmod(number, 6)
        tile = sheet[row * 12 : row * 12 + 12, column * 8 : column * 8 + 8]
        np.testing.assert_array_equal(tile, np.rint(image * 255))


def test_the_adversarial_images_are_attacked(seen):
    distance = np.abs(seen[0]["adversarial"] - seen[0]["clean"]).max(axis=(1, 2, 3))
    assert distance.max() == pytest.approx(EPSILON, rel=1e-4)


def test_a_running_tensorboard_sees_a_later_snapshot(server, writer):
    assert "finetune clean" not in listed(server)
    writer[0].write("finetune")
    server.wait_for(lambda: "finetune adversarial" in listed(server), seconds=30)
    assert fetch(server, "tensor", "clean", "finetune") == fetch(
        server, "tensor", "clean"
    )


def test_a_snapshot_replaces_one_of_its_name_and_keeps_those_of_earlier_processes(
    model, split, tmp_path
):
    keras.utils.set_random_seed(1)
    other = small_model()
    for source, names in ((model, "ab"), (other, "b")):
        later = SnapshotWriter(source, split, tmp_path, class_names=NAMES, count=8)
        for name in names:
            later.write(name)
    first, replaced = (vectors(tmp_path, name, "clean") for name in "ab")
    assert np.abs(first - replaced).max() > 0.01
    text = (tmp_path / "projector" / "projector_config.pbtxt").read_text()
    names = [line.split('"')[1] for line in text.splitlines() if "tensor_name" in line]
    assert names == ["a clean", "a adversarial", "b clean", "b adversarial"]


def test_the_folder_holds_whole_files_and_one_event_file_after_many_snapshots(
    model, split, tmp_path
):
    writer = SnapshotWriter(model, split, tmp_path, class_names=NAMES, count=8)
    for name in "aab":
        writer.write(name)
    found = [path.name for path in (tmp_path / "projector").iterdir()]
    assert not [name for name in found if name.startswith(".")]
    assert len([name for name in found if name.startswith("events")]) == 1
    assert len([name for name in found if name.endswith(".index")]) == 1
    # Three files for each tensor, four tensors; config, events, three of a checkpoint.
    assert len(found) == 3 * 4 + 2 + 3


def test_the_sample_is_balanced_and_the_same_every_time(model, split, tmp_path):
    tables = []
    for folder in (tmp_path / "1", tmp_path / "2"):
        SnapshotWriter(model, split, folder, class_names=NAMES, count=12, seed=5).write(
            "a"
        )
        tables.append((folder / "projector" / "a-clean-metadata.tsv").read_text())
    assert tables[0] == tables[1]
    ids = [line.split("\t")[2] for line in tables[0].splitlines()[1:]]
    assert sorted(ids) == sorted("0123" * 3)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_a_snapshot_follows_the_weights_of_a_model_of_another_dtype(
    split, tmp_path, policy, computable
):
    computable(policy)
    model = small_model(policy)
    writer = SnapshotWriter(model, split, tmp_path, class_names=NAMES, count=16)
    writer.write("before")
    for variable in model.encoder.trainable_variables:
        variable.assign(variable * 0.5 + 0.1)
    writer.write("after")
    images = split.pixels(balanced_sample(split.labels, 16, 0))
    expected = in_full_precision(model).embed(tf.constant(images))
    before, after = (vectors(tmp_path, n, "clean") for n in ("before", "after"))
    np.testing.assert_allclose(after, expected, atol=1e-6)
    assert np.abs(after - before).max() > 0.01


def test_a_snapshot_leaves_weights_and_random_numbers_as_they_were(
    model, split, tmp_path
):
    weights, state = model.get_weights(), random.getstate()
    SnapshotWriter(model, split, tmp_path, class_names=NAMES, count=8).write("a")
    assert random.getstate() == state
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_an_untrained_classifier_is_neither_attacked_nor_quoted(model, split, tmp_path):
    writer = SnapshotWriter(model, split, tmp_path, class_names=NAMES, count=8)
    writer.write("pretrain", classifier_trained=False)
    folder = tmp_path / "projector"
    header = (folder / "pretrain-clean-metadata.tsv").read_text().splitlines()[0]
    assert header.split("\t") == ["class", "class id", "images"]
    assert not list(folder.glob("*adversarial*"))


def test_a_name_that_the_page_could_not_ask_for_is_refused(model, split, tmp_path):
    writer = SnapshotWriter(model, split, tmp_path, class_names=NAMES, count=8)
    with pytest.raises(ValueError, match="Received: 'a&b'"):
        writer.write("a&b")


@pytest.mark.slow
def test_a_margin_is_the_way_to_the_nearest_decision_boundary():
    rng = np.random.default_rng(1)
    kernel, bias = rng.normal(size=(5, 4)), rng.normal(size=4)
    inputs, labels = rng.normal(size=(20, 5)), rng.integers(0, 4, 20)
    logits = inputs @ kernel + bias
    margins = relative_margins(inputs, labels, kernel, bias)
    assert ((margins > 0) == (logits.argmax(axis=1) == labels)).all()
    for x, y, margin in zip(inputs, labels, margins, strict=True):
        others = [j for j in range(4) if j != y]
        normals = {j: kernel[:, y] - kernel[:, j] for j in others}
        distances = {
            j: (x @ normals[j] + bias[y] - bias[j]) / np.linalg.norm(normals[j])
            for j in others
        }
        nearest = min(distances, key=distances.get)
        unit = normals[nearest] / np.linalg.norm(normals[nearest])
        moved = (x - margin * np.linalg.norm(x) * unit) @ kernel + bias
        assert moved[y] == pytest.approx(moved[nearest], abs=1e-9)
