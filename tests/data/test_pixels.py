"""The same bytes are the same pixels in a folder, in tensorflow-datasets and served."""

import io

import image_table
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image, ImageOps

from supcon_tf.config import DataConfig
from supcon_tf.data import load
from supcon_tf.data.decoding.headers import PADDING
from supcon_tf.data.decoding.headers import orientation as served_orientation
from supcon_tf.data.decoding.orientation import orientation
from supcon_tf.data.sources.tfds import open_tfds
from supcon_tf.export.signatures import decoded

# Decoders of a lossy format may round otherwise on another processor.
LOSSY = 2


def shown_by_pillow(encoded: bytes) -> np.ndarray:
    """What a viewer shows on black, through other functions of Pillow."""
    image = Image.open(io.BytesIO(encoded))
    value = image.getexif().get(0x0112, 1)
    if image.format != "TIFF":
        plain = Image.new("RGB", image.size)
        plain.getexif()[0x0112] = value
        rgba = image.convert("RGBA")
        plain = Image.alpha_composite(Image.new("RGBA", image.size, "black"), rgba)
        plain.getexif()[0x0112] = value
        return np.asarray(ImageOps.exif_transpose(plain).convert("RGB"))
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def assert_shown(found: dict[str, np.ndarray], table: dict[str, bytes]):
    wrong = {}
    for name, encoded in table.items():
        difference = found[name].astype(int) - shown_by_pillow(encoded)
        allowed = LOSSY if name.startswith(("jpeg", "webp")) else 1
        if abs(difference).max() > allowed:
            wrong[name] = abs(difference).max()
    assert not wrong


def in_folder(root, table, part="train", copies=2):
    for name, encoded in table.items():
        folder = root / part / name
        folder.mkdir(parents=True, exist_ok=True)
        for copy in range(copies):
            ending = name.split("_")[0]
            (folder / f"{copy}.{ending if len(ending) < 5 else 'png'}").write_bytes(
                encoded
            )
    return root


def by_class(data) -> dict[str, np.ndarray]:
    return {
        data.class_names[label]: image
        for label, image in zip(data.test.labels, data.test.images, strict=True)
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The decoding of `classify_encoded`, from a SavedModel."""
    folder = str(tmp_path_factory.mktemp("served"))
    size = (image_table.SIZE, image_table.SIZE)
    module = tf.Module()
    module.decode = tf.function(
        lambda encoded: decoded(encoded, size),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    tf.saved_model.save(module, folder)
    return tf.saved_model.load(folder).decode


def test_a_folder_shows_every_kind_as_pillow_does(tmp_path):
    table = image_table.in_all() | image_table.in_pillow()
    # A frame that leaves out a part of its screen has black there, not a colour.
    small = table.pop("gif_small_frame")
    in_folder(tmp_path, table | {"gif_small": small})
    in_folder(tmp_path, table | {"gif_small": small}, "test", 1)
    found = by_class(load(DataConfig("folder", str(tmp_path))))
    assert_shown(found, table)
    assert found["gif_small"][16:].max() == found["gif_small"][:, 16:].max() == 0
    assert found["gif_small"][:16, :16].mean() > 50


def test_the_served_graph_shows_every_kind_as_pillow_does(served):
    table = image_table.in_all()
    found = served(tf.constant(list(table.values()))).numpy()
    assert_shown(dict(zip(table, found, strict=True)), table)


def test_the_served_graph_refuses_what_it_would_show_wrongly(served):
    table = image_table.in_pillow() | image_table.in_none()
    answered = []
    for name, encoded in table.items():
        try:
            served(tf.constant([encoded]))
            answered.append(name)
        except tf.errors.InvalidArgumentError:
            pass
    assert answered == []


def test_refusals_of_the_served_graph_say_what_is_wrong(served):
    table = image_table.in_pillow() | image_table.in_none()
    for name, reason in (
        ("png_16_rgb", "at most 8 bits a channel"),
        ("webp_frames", "must not be animated"),
        ("jpeg_cmyk_unmarked", "the mark of Adobe"),
        ("bmp_rle", "uncompressed"),
        ("gif_small_frame", "must fill its screen"),
        ("tiff", "must be a JPEG, PNG, GIF"),
        ("cut_bmp", "cut off"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
            served(tf.constant([table[name]]))


def test_a_photo_is_resized_alike_within_a_level(tmp_path):
    rng = np.random.default_rng(2)
    rough = rng.integers(0, 256, (9, 12, 3), np.uint8)
    photo = Image.fromarray(rough).resize((97, 64), Image.Resampling.BICUBIC)
    for size, crop in ((24, False), (24, True), (64, True), (120, False), (120, True)):
        table = {
            kind: image_table.encoded(photo, "PNG", exif=image_table.exif(value))
            for kind, value in (("png_upright", 1), ("png_turned", 5))
        }
        root = in_folder(tmp_path / f"{size}-{crop}", table)
        in_folder(root, table, "test", 1)
        options = {"image_size": size, "crop_to_aspect_ratio": crop}
        config = DataConfig("folder", str(root), validation_share=0.0, **options)
        found = by_class(load(config))
        graph = decoded(tf.constant(list(table.values())), (size, size), crop).numpy()
        for pixels, name in zip(graph, table, strict=True):
            assert abs(pixels.astype(int) - found[name]).max() <= 1
        upright = shown_by_pillow(table["png_upright"])
        middle = Image.fromarray(upright[:, 16:80] if crop else upright)
        expected = middle.resize((size, size), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(found["png_upright"], np.asarray(expected))


def test_odd_or_damaged_exif_means_the_same_to_both_readers():
    twin = tf.function(
        served_orientation, input_signature=[tf.TensorSpec([], tf.string)]
    )
    rng = np.random.default_rng(3)
    blocks = [b"", b"Exif\0\0", b"MM\0*", image_table.exif(6)[6:]]
    for order in "<>":
        for kind in (3, 4):
            whole = image_table.exif(7, order, kind)
            assert orientation(whole) == 7
            blocks += [whole[:end] for end in range(6, len(whole), 5)]
            for _ in range(25):
                odd = bytearray(whole)
                odd[rng.integers(6, 34)] = rng.integers(0, 256)
                blocks.append(bytes(odd))
    found = [int(twin(tf.constant(block + PADDING))) for block in blocks]
    assert found == [orientation(block) for block in blocks]
    assert set(found) >= {1, 6, 7}


class Kinds(tfds.core.GeneratorBasedBuilder):
    """Every kind that TensorFlow reads, each a class of its own, and bad images."""

    VERSION = tfds.core.Version("1.0.0")
    TABLE = image_table.in_all()
    BAD = image_table.in_pillow() | image_table.in_none()

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=list(self.TABLE)),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples() for name in ("train", "test")}

    def _generate_examples(self):
        for name, encoded in self.TABLE.items():
            yield name, {"image": io.BytesIO(encoded), "label": name}
        for name, encoded in self.BAD.items():
            yield name, {"image": io.BytesIO(encoded), "label": "jpeg"}


@pytest.mark.slow
def test_tensorflow_datasets_show_what_pillow_does_and_name_the_rest(tmp_path):
    source = open_tfds("kinds", str(tmp_path), 0)
    labels = source.test.labels
    pixels = np.zeros((len(labels), *source.image_shape), np.uint8)
    bad = source.test.read(np.arange(len(labels)), pixels)
    assert len(bad) == len(Kinds.BAD)
    found = {
        source.class_names[label]: pixels[index]
        for index, label in enumerate(labels)
        if index not in bad
    }
    assert_shown(found, Kinds.TABLE)
    reasons = list(bad.values())[:10]
    assert all(reason.startswith("test[") and " (" in reason for reason in reasons)
    assert not any("{{" in reason or "assertion" in reason for reason in reasons)
