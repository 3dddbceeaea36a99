import errno

import pytest

from supcon_tf.runs.files import naming, replacing
from supcon_tf.runs.run_folder import RunFolder


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("old")

    def fill():
        with replacing(path) as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left on device") as error:
        fill()
    assert str(error.value) == f"[Errno 28] No space left on device: '{path}'"
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]


def test_a_line_of_metrics_on_a_full_disk_is_told_with_its_file(tmp_path):
    folder = RunFolder(tmp_path)
    folder.metrics_file.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*metrics\.jsonl'$"):
        folder.append_metrics({"epoch": 1})


def test_an_error_that_names_a_file_keeps_it(tmp_path):
    def read():
        with naming(tmp_path / "b"):
            (tmp_path / "a").read_text()

    with pytest.raises(FileNotFoundError, match=r"/a'$"):
        read()
