"""Stages that runs have in common, trained once; the runs are stand-ins."""

import errno
import json
import os

from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.sweep import sharing

SEEDS = "--grid=seed=0,1"
MARGINS = "--grid=finetune_margin_weight=0,1"
FIRST, SECOND = (f"seed=0,finetune_margin_weight={weight}" for weight in (0, 1))
THIRD, FOURTH = (f"seed=1,finetune_margin_weight={weight}" for weight in (0, 1))


def model(folder, name, stage="pretrain"):
    return RunFolder(folder / name).stage_model_file(stage).read_text()


def test_runs_begin_with_what_another_has_trained_alike(sweep, folder):
    code, out, error = sweep(SEEDS, MARGINS, "--share_stages")
    assert (code, error) == (0, "")
    assert f"run 2 of 4: {SECOND}: begins with pretrain of {FIRST}\n" in out
    assert f"run 4 of 4: {FOURTH}: begins with pretrain of {THIRD}\n" in out
    assert out.count("begins with") == 2
    trained = [model(folder, name) for name in (FIRST, SECOND, THIRD, FOURTH)]
    assert trained == [f"of {name}" for name in (FIRST, FIRST, THIRD, THIRD)]
    assert model(folder, SECOND, "finetune") == f"of {SECOND}"
    metrics = {name: RunFolder(folder / name).metrics() for name in (FIRST, SECOND)}
    lines = [{"stage": name, "epoch": 1} for name in ("pretrain", "finetune")]
    assert metrics[FIRST] == lines
    assert metrics[SECOND] == [{**lines[0], "run": FIRST}, lines[1]]
    # Of a third run they are still the first one's.
    code, out, _ = sweep(
        "--grid=seed=0", "--grid=finetune_margin_weight=1,2", "--share_stages"
    )
    assert (code, out.count("begins with")) == (0, 1)
    third = RunFolder(folder / "seed=0,finetune_margin_weight=2")
    assert [line.get("run") for line in third.metrics()] == [FIRST, None]


def test_every_run_trains_for_itself_unless_asked(sweep, folder):
    for words in ((), ("--noshare_stages",), ("--share_stages=false",)):
        code, out, _ = sweep(SEEDS, MARGINS, *words)
        assert (code, "begins with" in out) == (0, False)
    assert model(folder, SECOND) == f"of {SECOND}"


def test_runs_that_are_evaluated_otherwise_share_all_stages(sweep, folder):
    _, out, _ = sweep("--grid=pgd_steps=10,20", "--share_stages")
    assert "run 2 of 2: pgd_steps=20: begins with pretrain and finetune of" in out
    assert model(folder, "pgd_steps=20", "finetune") == "of pgd_steps=10"


def test_a_run_that_has_begun_goes_on_by_itself(sweep, folder, monkeypatch):
    monkeypatch.setenv("STAND_IN_FAILS", SECOND)
    assert sweep(SEEDS, MARGINS, "--only=1")[0] == 1
    monkeypatch.delenv("STAND_IN_FAILS")
    code, out, _ = sweep(SEEDS, MARGINS, "--share_stages")
    assert code == 0
    assert f"begins with pretrain of {FIRST}" not in out
    assert f"run 4 of 4: {FOURTH}: begins with pretrain of {THIRD}\n" in out
    assert model(folder, SECOND) == f"of {SECOND}"


def test_a_copy_that_breaks_off_is_made_again(sweep, folder, monkeypatch):
    assert sweep(SEEDS, MARGINS, "--only=0")[0] == 0
    original = sharing.shutil.copyfile

    def half(source, target):
        original(source, target)
        if source.name == "model.keras":
            target.write_text("of")

    with monkeypatch.context() as patch:
        patch.setattr(sharing.shutil, "copyfile", half)
        code, _, error = sweep(SEEDS, MARGINS, "--share_stages", "--only=1")
    assert (code, error.count("\n")) == (1, 1)
    assert "model.keras is not what it was copied from" in error
    assert json.loads((folder / "sweep.json").read_text())["runs"][1]["status"] == (
        "failed"
    )
    second = RunFolder(folder / SECOND)
    assert not second.stage_model_file("pretrain").exists()
    old = second.tensorboard / "pretrain" / "of another run"
    old.parent.mkdir(parents=True)
    old.touch()
    code, out, _ = sweep(SEEDS, MARGINS, "--share_stages", "--only=1")
    assert code == 0
    assert f"{SECOND}: begins with pretrain of {FIRST}" in out
    assert model(folder, SECOND) == f"of {FIRST}"
    assert not old.exists()
    assert len(second.metrics()) == 2


def test_a_copy_that_cannot_be_made_stops_no_other_run(sweep, folder, monkeypatch):
    def full(source, target):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(sharing.shutil, "copyfile", full)
    code, _, error = sweep(SEEDS, MARGINS, "--share_stages")
    assert (code, error.count("\n")) == (1, 1)
    assert "2 of 4 runs failed" in error
    for name, donor in ((SECOND, FIRST), (FOURTH, THIRD)):
        assert f"{name}: no pretrain of {donor}: " in error
    assert model(folder, THIRD, "finetune") == f"of {THIRD}"
