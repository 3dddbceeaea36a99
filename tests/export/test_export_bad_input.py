"""A user's mistakes end in one line and exit code 2, and write nothing."""

import json
import shutil
import zipfile

import pytest

from supcon_tf.errors import UserError
from supcon_tf.export.run import export_run
from supcon_tf.export.settings import ExportSettings, parse_settings

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output=o"], "--run_dir must be a folder. Received: ''"),
        (["--run_dir=r"], "--output must be a folder. Received: ''"),
        (["--run_dir=r", "--output=o", "--stage=middle"], "--stage must be one of"),
        (["--run_dir=r", "--output=o", "--model_version=-1"], "--model_version must"),
        (["--run_dir=r", "--output=o", "--model_version=x"], "--model_version"),
        (["--run_dir=r", "--output=o", "--nonsense=1"], "unknown flag --nonsense"),
        (["--run_dir=r", "--output=o", "word"], "belong to no flag"),
    ],
)
def test_wrong_flag_is_named(words, message):
    with pytest.raises(UserError, match=message):
        parse_settings(["export", *words])


def test_command_reports_a_mistake_in_one_line_with_exit_code_2(command, tmp_path):
    finished = command(f"--run_dir={tmp_path}", f"--output={tmp_path / 'served'}")
    lines = [x for x in finished.stderr.splitlines() if x.startswith("error: ")]
    assert finished.returncode == 2
    assert lines == [
        f"error: a run folder with a config.json is needed. Received: {tmp_path}"
    ]
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "served").exists()


def test_help_lists_the_flags_without_tensorflow(command):
    finished = command("--help")
    assert finished.returncode == 0
    assert "--fold_batch_norm" in finished.stdout
    assert finished.stderr == ""


@pytest.fixture
def broken(run_dir, tmp_path):
    """A copy of the run that a test may damage."""
    shutil.copytree(run_dir, tmp_path / "run")
    return tmp_path / "run"


def refused(run, **settings):
    output = run.parent / "served"
    with pytest.raises(UserError) as caught:
        export_run(ExportSettings(run_dir=str(run), output=str(output), **settings))
    assert not output.exists()
    return str(caught.value)


def test_run_without_a_finished_model_is_refused(broken):
    (broken / "model.keras").unlink()
    assert "finished model.keras" in refused(broken)


def test_stage_that_was_not_saved_is_refused(broken):
    (broken / "pretrain" / "model.keras").unlink()
    assert "pretrain/model.keras" in refused(broken, stage="pretrain")


def test_file_that_is_no_model_is_refused(broken):
    (broken / "model.keras").write_bytes(b"not a model")
    assert "could not be loaded" in refused(broken)


def test_model_of_another_version_is_refused_with_both_versions(broken):
    rewritten(broken / "model.keras", "config.json", '"projection_dim"', '"rank"')
    rewritten(
        broken / "model.keras",
        "metadata.json",
        '"keras_version": "3',
        '"keras_version": "9',
    )
    message = refused(broken)
    assert "could not be loaded" in message
    assert "written by Keras 9" in message


def test_config_of_another_version_is_refused(broken):
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**config, "colour": "red"}))
    assert "not a config" in refused(broken)


def test_evaluation_that_cannot_be_read_is_refused(broken):
    (broken / "robustness.json").write_text('{"models": [{}]}')
    assert "robustness.json can't be read" in refused(broken)


def test_run_of_other_images_is_refused(broken):
    text = (broken / "data.json").read_text()
    (broken / "data.json").write_text(text.replace('"sha256": "', '"sha256": "0'))
    message = refused(broken)
    assert message.startswith(f"the images are not those of the run in {broken}: ")


def test_images_that_lie_elsewhere_are_looked_for_there(broken, monkeypatch):
    def looked_for(config, held_out_by):
        raise UserError(f"{config.data_dir}, held out by {held_out_by}")

    monkeypatch.setattr("supcon_tf.export.run.load", looked_for)
    assert refused(broken, data_dir="elsewhere") == "elsewhere, held out by name"
    (broken / "data.json").unlink()
    assert refused(broken, data_dir="elsewhere") == "elsewhere, held out by order"


def test_taken_version_is_refused(run_dir, folded):
    with pytest.raises(UserError, match="--model_version must be new"):
        export_run(
            ExportSettings(
                run_dir=str(run_dir), output=str(folded.parent), model_version=1
            )
        )


def test_output_that_is_a_file_is_refused(run_dir, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--output must be a folder"):
        export_run(ExportSettings(run_dir=str(run_dir), output=str(tmp_path / "file")))


def rewritten(path, member, old, new):
    """Replaces text in one member of a zip file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    text = members[member].decode()
    assert old in text
    members[member] = text.replace(old, new).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
