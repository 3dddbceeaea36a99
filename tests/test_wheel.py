"""A wheel holds the program alone, and all of it: commands and recipes."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="builds the wheel; in the extra test")

REPOSITORY = Path(__file__).parents[1]
COMMANDS = ("train", "evaluation", "export", "compare", "sweep")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    done = subprocess.run(
        words, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs a command of the wheel where there is no checkout."""
    site = tmp_path_factory.mktemp("site")
    wheel.extractall(site)

    def run(*words):
        return subprocess.run(
            [sys.executable, *words],
            cwd=site.parent,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_wheel_has_one_package_with_everything_that_the_checkout_has(wheel):
    names = set(wheel.namelist())
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"supcon_tf"}
    modules = (REPOSITORY / "supcon_tf").rglob("*.py")
    wanted = {path.relative_to(REPOSITORY).as_posix() for path in modules}
    recipes = {
        f"supcon_tf/recipes/{path.name}" for path in (REPOSITORY / "flags").iterdir()
    }
    assert recipes
    found = {name for name in names if name.startswith("supcon_tf/")}
    assert found == wanted | recipes | {"supcon_tf/py.typed"}


def test_the_story_of_a_run_is_that_of_the_checkout(wheel):
    story = (REPOSITORY / "train.py").read_bytes()
    assert wheel.read("supcon_tf/train/__main__.py") == story


def test_every_command_answers_where_there_is_no_checkout(installed):
    for command in COMMANDS:
        done = installed("-m", f"supcon_tf.{command}", "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"python -m supcon_tf.{command} " in done.stdout


def test_a_recipe_that_begins_with_another_is_found_by_its_name(installed):
    command = ("-m", "supcon_tf.train", "--flagfile=cifar100_robust.flags")
    # The recipes set the batch size: what comes later is what is refused.
    done = installed(*command, "--dataset=", "--batch_size=128")
    assert done.returncode == 2
    assert done.stderr == "error: --dataset must not be empty. Received: ''\n"
    listed = installed(
        "-c",
        "from supcon_tf.commands.flagfile import recipes_folder, with_flagfiles;"
        "print(recipes_folder());"
        "print(*with_flagfiles(['--flagfile=cifar100_robust.flags']))",
    )
    folder, words = listed.stdout.splitlines()
    assert not Path(folder).is_relative_to(REPOSITORY)
    assert words.startswith("--dataset=cifar100 ")


def test_the_package_trains_in_a_checkout_too():
    done = subprocess.run(
        [sys.executable, "-m", "supcon_tf.train", "--temperature=-1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "error: --temperature must be above 0. Received: -1.0\n"
