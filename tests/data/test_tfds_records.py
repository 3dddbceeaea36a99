"""Images of tensorflow-datasets by number are those that come as a stream."""

import io
import os

import image_table
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from supcon_tf.config import DataConfig
from supcon_tf.data import load
from supcon_tf.data.encoded_images import EncodedImages
from supcon_tf.data.sources import tfds_index
from supcon_tf.errors import UserError

pytestmark = pytest.mark.slow

# More files than are read in turns, of unequal length.
SHARDS, COUNT = 19, 400


class ManyFiles(tfds.core.GeneratorBasedBuilder):
    """Images that differ, small, as JPEG."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        image = tfds.core.lazy_imports.PIL_Image.fromarray(image_table.colours())
        for k in range(COUNT):
            turned = image.rotate(k).resize((9 + k % 5, 8))
            encoded = image_table.encoded(turned, "JPEG", quality=40 + k % 50)
            yield k, {"image": io.BytesIO(encoded), "label": int(k**2 % 3)}


class EveryKind(ManyFiles):
    """Every kind of file that TensorFlow reads."""

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=list(image_table.in_all())),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _generate_examples(self):
        for name, encoded in image_table.in_all().items():
            for copy in range(3):
                yield f"{name}{copy}", {"image": io.BytesIO(encoded), "label": name}


def prepare(name, folder, file_format=None, shards=SHARDS):
    builder = tfds.builder(name, data_dir=str(folder), file_format=file_format)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=shards)
    )
    return folder


@pytest.fixture(scope="module")
def many_files(tmp_path_factory):
    return prepare("many_files", tmp_path_factory.mktemp("tfrecord"))


def loaded(name, folder, **options):
    options = {"image_size": 8, "validation_share": 0.0, **options}
    return load(DataConfig(name, str(folder), **options))


def assert_same(one, other):
    assert one.fingerprint.digest == other.fingerprint.digest
    for name in ("train", "test"):
        split, same = getattr(one, name), getattr(other, name)
        np.testing.assert_array_equal(split.labels, same.labels)
        np.testing.assert_array_equal(split.images[:], same.images[:])


def test_images_by_number_are_those_of_the_stream(many_files):
    for options in ({}, {"crop_to_aspect_ratio": True}):
        cached = loaded("many_files", many_files, **options)
        encoded = loaded("many_files", many_files, **options, cache_gib=0.0)
        assert isinstance(encoded.train.images, EncodedImages)
        assert_same(cached, encoded)
    # Nothing is left beside data that is read in a moment.
    assert not list(many_files.rglob(".supcon_tf*"))


def test_every_kind_of_image_has_the_same_pixels_by_number(tmp_path):
    prepare("every_kind", tmp_path, shards=1)
    options = {"test_share": 0.3, "image_size": 0}
    assert_same(
        loaded("every_kind", tmp_path, **options),
        loaded("every_kind", tmp_path, **options, cache_gib=0.0),
    )


def test_an_array_record_is_read_cached_and_encoded(many_files, tmp_path):
    prepare("many_files", tmp_path, "array_record", shards=2)
    cached = loaded("many_files", tmp_path)
    encoded = loaded("many_files", tmp_path, cache_gib=0.0)
    assert_same(cached, encoded)
    # Its order is another, and its images are the same.
    known = loaded("many_files", many_files)
    pixels = [
        {image.tobytes() for split in (data.train, data.test) for image in split.images}
        for data in (known, cached)
    ]
    assert pixels[0] == pixels[1]
    assert len(pixels[0]) > COUNT / 2
    with pytest.raises(UserError, match="--image_size must be given"):
        loaded("many_files", tmp_path, image_size=0)


def test_the_index_of_large_data_is_kept_and_noticed_when_stale(
    tmp_path, monkeypatch, capsys
):
    prepare("many_files", tmp_path, shards=2)
    monkeypatch.setattr(tfds_index, "_KEPT_FROM", 0)
    first = loaded("many_files", tmp_path, cache_gib=0.0)
    assert "many_files train is read through once" in capsys.readouterr().err
    (file,) = tmp_path.rglob(".supcon_tf*")
    made = tfds_index._made
    monkeypatch.setattr(tfds_index, "_made", None)
    assert_same(first, loaded("many_files", tmp_path, cache_gib=0.0))
    assert capsys.readouterr().err == ""
    # Files that changed, and an index that is damaged, make another.
    monkeypatch.setattr(tfds_index, "_made", made)
    shard = next(tmp_path.rglob("*train.tfrecord-00001*"))
    os.utime(shard, (1, 1))
    assert_same(first, loaded("many_files", tmp_path, cache_gib=0.0))
    assert "read through once" in capsys.readouterr().err
    file.write_bytes(file.read_bytes()[:100])
    assert_same(first, loaded("many_files", tmp_path, cache_gib=0.0))
    assert "read through once" in capsys.readouterr().err


def test_an_index_that_cannot_be_kept_is_said(tmp_path, monkeypatch, capsys):
    prepare("many_files", tmp_path, shards=2)
    monkeypatch.setattr(tfds_index, "_KEPT_FROM", 0)

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tfds_index, "replacing", full)
    assert len(loaded("many_files", tmp_path, cache_gib=0.0).train) > 0
    assert "can't be written (No space left on device)" in capsys.readouterr().err


def test_damage_is_told(tmp_path):
    prepare("many_files", tmp_path, shards=1)
    (file,) = tmp_path.rglob("*train.tfrecord*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    data = loaded("many_files", tmp_path, cache_gib=0.0)
    # Once it is indexed, what is read is no longer a record.
    file.write_bytes(content[:1000])
    with pytest.raises(UserError, match=r"train\[\d+\] \(the file has become shorter"):
        data.train.images[-1]
    # What guards a record is checked when it is indexed.
    file.write_bytes(content)
    with pytest.raises(UserError, match="can't be read"):
        loaded("many_files", tmp_path, cache_gib=0.0)


def test_an_unknown_order_of_reading_is_refused(many_files, monkeypatch):
    def file_by_file(builder, split):
        paths = tfds_index.paths_of(builder, split)
        files = tf.data.Dataset.from_tensor_slices(paths).enumerate()
        return files.flat_map(
            lambda k, path: tf.data.TFRecordDataset(path).map(lambda r: (k, r))
        )

    monkeypatch.setattr(tfds_index, "_tfrecords", file_by_file)
    with pytest.raises(UserError, match="in an order that is not known here"):
        loaded("many_files", many_files, cache_gib=0.0)
