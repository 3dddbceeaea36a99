"""Run folders whose files are not what they should be."""

import json

import pytest

from supcon_tf.config import Config
from supcon_tf.errors import UserError
from supcon_tf.runs.run_folder import RunFolder

NO_RECORDS = [b"{", b"", b"\xff\xfe{}", b"[]", b"null", b"[" * 100_000]
NO_CONFIGS = [
    *NO_RECORDS,
    b'{"colour": "red"}',
    b'{"pretrain": {"epochs": -1}}',
    b'{"pretrain": 3}',
]


def start_of(text):
    return repr(text[:20])


@pytest.mark.parametrize("written", NO_CONFIGS, ids=start_of)
def test_a_config_that_cannot_be_read_is_named(tmp_path, written):
    folder = RunFolder(tmp_path)
    folder.config_file.write_bytes(written)
    folder.metrics_file.write_text('{"stage": "pretrain", "epoch": 1}\n')
    for read in (folder.config, lambda: folder.check(Config())):
        with pytest.raises(UserError) as refused:
            read()
        assert str(refused.value).startswith(f"{folder.config_file} can't be read (")
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("written", NO_RECORDS, ids=start_of)
def test_a_fingerprint_that_cannot_be_read_is_named(tmp_path, written):
    folder = RunFolder(tmp_path)
    folder.data_file.write_bytes(written)
    with pytest.raises(UserError) as refused:
        folder.fingerprint()
    assert str(refused.value).startswith(f"{folder.data_file} can't be read (")


def test_lines_of_metrics_that_broke_are_left_out(tmp_path):
    folder = RunFolder(tmp_path)
    line = {"stage": "pretrain", "epoch": 1}
    broken = (b'{"stage": "pre', b"\xff\xfe", b"\0\0\0", b"")
    folder.metrics_file.write_bytes(
        b"\n".join([*broken, json.dumps(line).encode(), *broken])
    )
    assert folder.metrics() == [line]
