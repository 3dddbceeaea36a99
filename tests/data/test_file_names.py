"""Names of very many files are those of the files, and take little memory."""

import hashlib
import json
import os
import tracemalloc

import numpy as np
import pytest

from supcon_tf.data.examples import ListedExamples
from supcon_tf.data.fingerprint import Fingerprint
from supcon_tf.data.sources.file_names import FileNames
from supcon_tf.data.split_fingerprint import SplitFingerprint


@pytest.fixture
def names():
    names = FileNames("data/train")
    names.add("ape", ["a.png", "b c.png"])
    names.add("bee", [])
    names.add("cat", ["\u00e9.png", os.fsdecode(b"\xff.png"), ""])
    return names


def test_names_are_a_sequence_of_paths(names):
    paths = [
        *(f"data/train/ape/{name}" for name in ("a.png", "b c.png")),
        *(f"data/train/cat/{name}" for name in ("\u00e9.png", "\udcff.png", "")),
    ]
    assert list(names) == paths
    assert len(names) == 5
    assert names.counts() == [2, 0, 3]
    assert names[1:4] == paths[1:4]
    assert names[-2] == paths[-2]
    assert names[np.int64(2)] == paths[2]
    with pytest.raises(IndexError):
        names[5]
    assert list(names.within("train")) == [path.removeprefix("data/") for path in paths]


def test_a_name_takes_its_letters_and_a_few_bytes():
    tracemalloc.start()
    names = FileNames("a folder with a long name/train")
    for place in range(100):
        names.add(f"class {place}", [f"{place:03d}{k:09d}.jpg" for k in range(1000)])
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held / 100_000 < 16 + 20
    # What one class takes for a moment does not grow with their number.
    assert peak / 100_000 < 16 + 24


def test_listed_examples_are_digested_and_written_as_a_mapping_of_mappings_is():
    rng = np.random.default_rng(0)
    classes = ("b", "a", 'c "quoted"', "none")
    labels, indices = rng.integers(0, 3, 50), rng.permutation(50)
    for sizes in (rng.integers(1, 99, 50), None):
        listed = ListedExamples(classes, labels, indices, "train/{}".format, sizes)
        plain = {name: {} for name in classes}
        for place in range(50):
            size = None if sizes is None else int(sizes[place])
            plain[classes[labels[place]]][f"train/{indices[place]}"] = size
        assert {name: dict(examples) for name, examples in listed.items()} == plain
        one, same = (SplitFingerprint(kind, "p", 9) for kind in (listed, plain))
        assert len(one) == len(same) == 50
        # As of runs that were begun by earlier versions.
        written = json.dumps(same.to_json(), sort_keys=True).encode()
        assert one.digest == same.digest == hashlib.sha256(written).hexdigest()
        prints = [Fingerprint("x", classes, {"train": split}) for split in (one, same)]
        assert prints[0] == prints[1]
        again = Fingerprint.from_json(prints[0].to_json())
        assert again == prints[1]
        assert again.digest == prints[1].digest
