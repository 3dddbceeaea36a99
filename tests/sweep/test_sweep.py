"""Sweeps as people meet them; the runs are stand-ins that take no time."""

import json
import shutil

from tests.sweep.looks import configs, entry, starts, statuses

SEEDS = "--grid=seed=0,1"


def test_every_combination_is_run_and_compared_with_seeds_averaged(sweep, folder):
    code, out, error = sweep(SEEDS, "--grid=width=4,8", "--batch_size=32")
    assert (code, error) == (0, "")
    names = [f"seed={seed},width={width}" for seed in (0, 1) for width in (4, 8)]
    assert statuses(folder) == dict.fromkeys(names, "done")
    for place, name in enumerate(names, 1):
        assert f"run {place} of 4: {name} (output: {folder / name / 'log.txt'})" in out
    made = configs(folder)
    assert [(made[name].seed, made[name].model.width) for name in names] == [
        (0, 4),
        (0, 8),
        (1, 4),
        (1, 8),
    ]
    assert {config.batch_size for config in made.values()} == {32}
    assert "| seed=0,width=4 +1 | 2 " in out
    assert "50.5 ± 0.7%" in out
    files = {path.name for path in folder.iterdir() if path.is_file()}
    assert {"comparison.md", "comparison.json", "robustness.png"} < files


def test_finished_runs_are_not_run_again_and_new_values_are(sweep, folder):
    assert sweep(SEEDS)[0] == 0
    code, out, _ = sweep("--grid=seed=2,1,0")
    assert code == 0
    assert "run 2 of 3: seed=1: was done before" in out
    assert [len(starts(folder, f"seed={seed}")) for seed in range(3)] == [1, 1, 1]
    assert "| seed=2 +2 | 3 " in out
    # What a run was asked for may grow: it is the run that knows what is missing.
    assert sweep(SEEDS, "--attacks=fgsm,pgd")[0] == 0
    assert [len(starts(folder, f"seed={seed}")) for seed in range(3)] == [2, 2, 1]
    (folder / "seed=0" / "robustness.json").unlink()
    assert sweep(SEEDS, "--attacks=fgsm,pgd")[0] == 0
    assert [len(starts(folder, f"seed={seed}")) for seed in range(3)] == [3, 2, 1]
    shutil.rmtree(folder / "seed=1")
    assert sweep(SEEDS, "--attacks=fgsm,pgd")[0] == 0
    assert [len(starts(folder, f"seed={seed}")) for seed in range(3)] == [3, 1, 1]
    # Without its record a sweep asks every run.
    (folder / "sweep.json").unlink()
    assert sweep(SEEDS, "--attacks=fgsm,pgd")[0] == 0
    assert [len(starts(folder, f"seed={seed}")) for seed in range(3)] == [4, 2, 1]


def test_a_failed_run_is_reported_and_does_not_stop_the_others(
    sweep, folder, monkeypatch
):
    monkeypatch.setenv("STAND_IN_FAILS", "seed=0 seed=3")
    monkeypatch.setenv("STAND_IN_DIES", "seed=2")
    code, out, error = sweep("--grid=seed=0,1,2,3")
    log = folder / "seed=0" / "log.txt"
    reason = "exit code 1: error: the loss of this run is not finite"
    assert code == 1
    assert "run 1 of 4: seed=0: failed after 0:00:0" in out
    assert f"{reason} (output: {log})" in out
    assert "| seed=1 | 1 " in out
    assert error.startswith("error: 3 of 4 runs failed, and the same command tries")
    assert f"seed=0: {reason}; seed=2: ended by SIGKILL (out of memory?)" in error
    assert error.count("\n") == 1
    assert entry(folder, "seed=0")["message"] == reason
    assert "a warning that says little" in log.read_text()
    assert list(statuses(folder).values()) == ["failed", "done", "failed", "failed"]
    # Tried again, once what was wrong is mended.
    for name in ("STAND_IN_FAILS", "STAND_IN_DIES"):
        monkeypatch.delenv(name)
    code, out, _ = sweep("--grid=seed=0,1,2,3")
    assert (code, set(statuses(folder).values())) == (0, {"done"})
    assert (len(starts(folder, "seed=0")), len(starts(folder, "seed=1"))) == (2, 1)
    assert entry(folder, "seed=0")["message"] is None
    assert "| seed=0 +3 | 4 " in out


def test_one_run_alone_is_made_and_not_compared(sweep, folder):
    code, out, _ = sweep(SEEDS, "--grid=width=4,8", "--only=2")
    assert code == 0
    assert "run 3 of 4: seed=1,width=4" in out
    assert list(statuses(folder).values()) == ["waiting", "waiting", "done", "waiting"]
    assert not (folder / "comparison.md").exists()


def test_runs_of_one_sweep_may_be_the_beginning_of_another(
    sweep, folder, tmp_path, monkeypatch
):
    assert sweep(SEEDS, "--grid=width=4,8")[0] == 0
    monkeypatch.chdir(folder)
    one, two = "seed=0,width=4", "seed=1,width=8"
    other = f"--output={tmp_path / 'other'}"
    code, out, error = sweep(f"--grid=init_from={one},{two}", output=other)
    assert (code, out) == (2, "")
    assert "--init_from must be a run folder with a pretrained model" in error
    code, _, error = sweep(f"--grid=init_from={one};{two}", output=other)
    assert (code, error) == (0, "")
    assert len(statuses(tmp_path / "other")) == 2


def test_recipes_may_be_varied_and_flags_win_over_them(sweep, folder, tmp_path):
    files = []
    for name, width in (("narrow", 4), ("wide", 8)):
        files.append(tmp_path / f"{name}.flags")
        files[-1].write_text(f"--width={width}\n--batch_size=64\n")
    grid = f"--grid=flagfile={files[0]},{files[1]}"
    code, out, _ = sweep(SEEDS, grid, "--batch_size=32")
    assert code == 0
    made = configs(folder)
    assert list(statuses(folder)) == [
        f"flagfile={name},seed={seed}" for seed in (0, 1) for name in ("narrow", "wide")
    ]
    assert made["flagfile=wide,seed=1"].model.width == 8
    assert {config.batch_size for config in made.values()} == {32}
    assert "| flagfile=narrow,seed=0 +1 | 2 " in out
    twin = tmp_path / "other" / "wide.flags"
    twin.parent.mkdir()
    twin.write_text("--width=16\n")
    code, _, error = sweep(f"--grid=flagfile={files[1]},{twin}")
    assert (code, "a name of its own" in error) == (2, True)


def test_a_sweep_is_what_its_flagfile_said_when_it_began(
    sweep, folder, tmp_path, monkeypatch
):
    recipe = tmp_path / "recipe.flags"
    recipe.write_text("--width=4\n")
    # The first run changes it, as an editor would while it runs.
    monkeypatch.setenv("STAND_IN_WRITES", f"{recipe}=--width=8")
    assert sweep(f"--flagfile={recipe}", SEEDS)[0] == 0
    assert recipe.read_text() == "--width=8"
    assert {config.model.width for config in configs(folder).values()} == {4}
    # Begun anew it is another sweep, which does not go into this folder.
    code, _, error = sweep(f"--flagfile={recipe}", SEEDS)
    assert code == 2
    assert "--width was 4 when the run in" in error


def test_a_grid_over_other_flags_does_not_go_into_the_same_folder(sweep, folder):
    assert sweep(SEEDS)[0] == 0
    code, _, error = sweep("--grid=width=4,8")
    assert code == 2
    assert f"the sweep in {folder} is over --seed; give another --output" in error
    assert error.rstrip().endswith("Received: --grid over --width")
    assert sorted(configs(folder)) == ["seed=0", "seed=1"]


def test_the_folder_of_a_run_or_a_file_is_no_place_for_a_sweep(sweep, folder, tmp_path):
    assert sweep(SEEDS)[0] == 0
    run = folder / "seed=0"
    code, _, error = sweep(SEEDS, output=f"--output={run}")
    assert (code, "must not be the folder of a run" in error) == (2, True)
    file = tmp_path / "file"
    file.touch()
    for place in (file, file / "below"):
        code, _, error = sweep(SEEDS, output=f"--output={place}")
        assert (code, "--output must be a folder" in error) == (2, True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "seed=1").touch()
    code, out, error = sweep(SEEDS, output=f"--output={elsewhere}")
    assert (code, out, "has a file of that name" in error) == (2, "", True)
    (folder / "sweep.json").write_text("{torn")
    code, _, error = sweep(SEEDS)
    assert (code, "sweep.json can't be read" in error) == (2, True)


def test_runs_of_other_evaluations_may_get_no_table_and_that_is_said_first(
    sweep, folder
):
    code, out, error = sweep("--grid=pgd_steps=10,20")
    said = "note: runs that differ by --pgd_steps are not evaluated alike"
    assert (code, error.startswith(said)) == (0, True)
    # They were attacked with FGSM alone, as it turns out.
    assert "| pgd_steps=10 | 1 " in out
    other = str(folder.parent / "other")
    code, _, error = sweep("--grid=limit_test=50,60", output=f"--output={other}")
    assert (code, error.count("\n")) == (0, 2)
    assert error.splitlines()[1].startswith(
        "note: there is no table: runs in one table"
    )
    assert not (folder.parent / "other" / "comparison.md").exists()


def test_runs_that_can_not_be_compared_end_in_a_line(sweep, folder):
    assert sweep(SEEDS)[0] == 0
    result = folder / "seed=1" / "robustness.json"
    values = json.loads(result.read_text())
    result.write_text(json.dumps({**values, "num_examples": 50}))
    code, _, error = sweep(SEEDS)
    assert code == 1
    assert error.startswith("error: the runs can't be compared: runs in one table must")


def test_paths_count_from_where_the_command_is_given(sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.flags").write_text("--width=4\n")
    words = ["--flagfile=recipe.flags", SEEDS]
    code, out, _ = sweep(*words, output="--output=below/runs")
    assert (code, "(output: below/runs/seed=0/log.txt)" in out) == (0, True)
    assert len(statuses(tmp_path / "below" / "runs")) == 2
    monkeypatch.chdir(tmp_path / "below")
    code, out, _ = sweep(SEEDS, "--width=4", output="--output=runs")
    assert (code, "seed=0: was done before" in out) == (0, True)
    # A folder whose name is that of a flag.
    assert sweep(SEEDS, output="--output=-x")[0] == 0


def test_runs_that_can_not_be_started_end_in_a_line(sweep, monkeypatch):
    monkeypatch.setattr("supcon_tf.sweep.launch.train_command", lambda: ["/no/python"])
    code, _, error = sweep(SEEDS)
    assert code == 1
    assert error == "error: /no/python can't be started: No such file or directory\n"
