"""What a sweep is asked for, and what it says before it begins."""

import shlex
import subprocess
import sys
from pathlib import Path

from supcon_tf.sweep.launch import train_command
from tests.sweep.conftest import STAND_IN
from tests.sweep.looks import configs

REPOSITORY = Path(__file__).parents[2]
SEEDS = "--grid=seed=0,1"


def test_mistakes_are_refused_in_a_line_before_anything_runs(sweep, folder, tmp_path):
    recipe = tmp_path / "recipe.flags"
    recipe.write_text("--grid=seed=0,1\n")
    other = tmp_path / "other" / "recipe.flags"
    other.parent.mkdir()
    other.write_text("--width=4\n")
    for words, named in (
        ([], "--grid=FLAG=V1,V2,... must say what the runs differ by"),
        (["--grid=sede=0,1"], "Did you mean seed?"),
        (["--grid=seed=0,x"], "--seed must be a whole number. Received: 'x' (in the"),
        (["--grid=seed=0,-1"], "--seed must be at least 0 and at most 2147483647."),
        (["--grid=dtype_policy=float32,float8"], "--dtype_policy must be one of"),
        (["--grid=seed=0,1,0"], "must have each value once. Received: '0' and '0'"),
        (["--grid=temperature=1e-3,0.001"], "Received: '1e-3' and '0.001'"),
        (["--grid=deterministic=1,true"], "Received: '1' and 'true'"),
        ([SEEDS, SEEDS], "--grid must have each flag once"),
        ([SEEDS, "--seed=3"], "--seed must be in --grid or on the command line"),
        ([SEEDS, "--seed", "3"], "--seed must be in --grid or on the command line"),
        ([SEEDS, "--run_dir=r"], "folder is named after what differs"),
        ([SEEDS, "word"], "words that belong to no flag"),
        ([SEEDS, "--widht=4"], "unknown flag --widht. Did you mean --width?"),
        ([SEEDS, "--only=2"], "--only must be from 0 to 1, as the grid has 2 runs"),
        ([SEEDS, "--only=-1"], "--only must be from 0 to 1"),
        ([SEEDS, "--only="], "--only must be a whole number. Received: ''"),
        ([SEEDS, "--strategy=multi_worker"], "each worker would begin a sweep"),
        ([SEEDS, "--flagfile=missing.flags"], "--flagfile must be a readable file"),
        ([f"--flagfile={recipe}", SEEDS], "must be on the command line, not in a flag"),
        (
            ["--grid=batch_size=32,30", "--classes_per_batch=16"],
            "Received: 16 and 30 (in the run of batch_size=30)",
        ),
        (
            [f"--grid=flagfile={other}", f"--flagfile={recipe}"],
            "--flagfile must be in --grid or on the command line",
        ),
    ):
        code, out, error = sweep(*words)
        assert (code, out) == (2, ""), words
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert named in error
    code, _, error = sweep(SEEDS, output="--batch_size=32")
    assert (code, "--output must be a folder" in error) == (2, True)
    assert not folder.exists()


def test_a_dry_run_prints_commands_that_make_the_same_runs(
    sweep, folder, monkeypatch, tmp_path
):
    recipe = tmp_path / "a recipe.flags"
    recipe.write_text("--width=4\n--batch_size=16\n")
    words = [f"--flagfile={recipe}", SEEDS, "--grid", "epsilons=1,2;4"]
    code, out, _ = sweep(*words, "--dry_run")
    assert code == 0
    assert not folder.exists()
    lines = out.splitlines()
    assert lines[::2] == [
        f"# --only={n}: seed={seed},epsilons={epsilons}"
        for n, (seed, epsilons) in enumerate(
            (seed, epsilons) for seed in (0, 1) for epsilons in ("1+2", "4")
        )
    ]
    assert sweep(*words)[0] == 0
    made = configs(folder)
    folder.rename(tmp_path / "other")
    for line in lines[1::2]:
        program, script, *rest = shlex.split(line)
        assert [program, script] == STAND_IN
        Path(rest[-1].removeprefix("--run_dir=")).mkdir(parents=True)
        subprocess.run([program, script, *rest], check=True)
    assert configs(folder) == made
    only = sweep(*words, "--dry_run", "--only=3")[1]
    assert only.splitlines() == lines[-2:]


def test_training_is_started_as_it_is_installed():
    help_text = subprocess.run(
        [*train_command(), "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert help_text.startswith("usage: python train.py")


def test_help_loads_nothing_heavy():
    script = (
        "import sys\nfrom supcon_tf.sweep.__main__ import main\n"
        "try:\n    main(['sweep', '--help'])\n"
        "finally:\n    heavy = {'tensorflow', 'keras', 'numpy', 'matplotlib'}\n"
        "    assert not heavy & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for flag in ("--grid", "--only", "--dry_run", "--output", "--temperature"):
        assert f"  {flag}  (default" in done.stdout
    assert "--run_dir" not in done.stdout
