"""The tables of docs/results.md are those that docs/runs gives; no record is idle."""

import contextlib
import io
import json
import re
import shlex
from pathlib import Path

import pytest

from supcon_tf.compare.__main__ import main
from supcon_tf.compare.records import KEPT
from supcon_tf.config import Config
from supcon_tf.data.fingerprint import Fingerprint
from supcon_tf.data.split_fingerprint import SplitFingerprint
from supcon_tf.errors import UserError
from supcon_tf.runs.run_folder import RunFolder
from tests.sweep.stand_in import evaluation

ROOT = Path(__file__).parents[1]
COMPARISON = re.compile(
    r"<!-- (python -m supcon_tf\.compare [^\n]+) -->\n(.*?)"
    r"<!-- end of the comparison -->",
    re.DOTALL,
)
LARGEST = 400_000


def problems(root, scratch):
    """What is wrong with results.md and runs below `root`/docs, in words."""
    records = root / "docs" / "runs"
    document = (root / "docs" / "results.md").read_text(encoding="utf-8")
    found = [f"{path} is no record" for path in strangers(records)]
    compared = set()
    for command, pasted in COMPARISON.findall(document):
        words = [
            word for text in shlex.split(command)[3:] for word in spread(root, text)
        ]
        compared |= {Path(word) for word in words}
        printed = comparison(words, scratch)
        paragraphs = [part.strip() for part in printed.split("\n\n")]
        kept = [part.strip() for part in pasted.strip().split("\n\n")]
        if kept[0] != paragraphs[0] or not set(kept) <= set(paragraphs):
            found.append(f"results.md does not have what {command} prints:\n{printed}")
    if document.count("<!-- python -m") != len(COMPARISON.findall(document)):
        found.append("results.md has a comparison without an end")
    runs = {path.parent for path in records.rglob("robustness.json")}
    for run in sorted(runs - compared):
        found.append(f"{run} is in no table of results.md")
    for run in sorted(runs):
        # An evaluation that was made after the run has no epochs of its own.
        names = {path.name for path in run.iterdir()} | {"metrics.jsonl"}
        if names != set(KEPT):
            found.append(f"{run} has {sorted(names)} and must have {sorted(KEPT)}")
        if (size := sum(path.stat().st_size for path in run.iterdir())) > LARGEST:
            found.append(f"{run} is of {size} bytes")
    return found


def strangers(records):
    """Files that are of no run; each run lies in the folder of its table."""
    files = (path for path in records.rglob("*") if path.is_file())
    for path in files:
        depth = len(path.relative_to(records).parts)
        if depth != 3 and path != records / "README.md":
            yield path


def spread(root, word):
    """A word of a command line, or what a shell makes of its stars."""
    if "*" not in word:
        return [word if word.startswith("-") else str(root / word)]
    return sorted(str(path) for path in root.glob(word))


def comparison(words, scratch):
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            main(["compare", *words, f"--output={scratch / 'comparison'}"])
    except UserError as error:
        return f"error: {error}"
    return printed.getvalue()


def test_the_tables_of_the_results_are_those_of_the_kept_records(tmp_path):
    assert problems(ROOT, tmp_path) == []


def fingerprint(images):
    examples = {"a": {f"train/{number}": None for number in range(images)}}
    splits = {
        "train": SplitFingerprint(examples, "0" * 64, images),
        "test": SplitFingerprint({"a": {"test/0": None}}, "1" * 64, 1),
    }
    return Fingerprint("digits", ("a",), splits)


@pytest.fixture
def write_run(tmp_path):
    """Writes the folder of an evaluated run."""

    def write(name, accuracy, images=3, **flags):
        folder = RunFolder(tmp_path / "runs" / name)
        folder.begin(Config.from_flag_values(flags), fingerprint(images))
        result = evaluation(folder.config().seed, accuracy)
        folder.robustness_file.write_text(json.dumps(result))
        folder.append_metrics({"stage": "finetune", "epoch": 1})
        folder.model_file.write_bytes(b"weights")
        return str(folder.path)

    return write


@pytest.fixture
def repository(tmp_path, write_run, monkeypatch):
    """Two runs with a table in results.md, made as docs/runs/README.md says."""
    runs = [write_run(f"seed={seed}", 0.5 + seed / 10, seed=seed) for seed in (0, 1)]
    monkeypatch.chdir(tmp_path)
    records = tmp_path / "docs" / "runs" / "digits"
    printed = comparison([*runs, f"--keep_records={records}"], tmp_path)
    (tmp_path / "docs" / "results.md").write_text(
        f"# Results\n\n<!-- python -m supcon_tf.compare docs/runs/digits/* -->\n\n"
        f"{printed.strip()}\n\n<!-- end of the comparison -->\n\nWhat it means.\n"
    )
    return tmp_path


def test_records_and_the_table_made_of_them_have_no_problem(repository):
    assert "55.0 ± 7.1%" in (repository / "docs" / "results.md").read_text()
    assert problems(repository, repository) == []
    for record in (repository / "docs" / "runs" / "digits").iterdir():
        assert {path.name for path in record.iterdir()} == set(KEPT)
        assert "train/0" not in (record / "data.json").read_text()


def test_a_table_that_the_records_do_not_give_is_a_problem(repository):
    document = repository / "docs" / "results.md"
    text = document.read_text()
    digits = repository / "docs" / "runs" / "digits"
    table = text.split("\n\n")[2]
    # A table alone will do, and so will some of what is said of it.
    note = text.split("\n\n")[3]
    document.write_text(text.replace(f"\n\n{note}", ""))
    assert problems(repository, repository) == []
    for wrong in (
        text.replace("55.0 ± 7.1%", "56.0 ± 7.1%"),
        text.replace(note, "- It was better than all others."),
        text.replace(table, "").replace(note, f"{note}\n\n{table}"),
        text.replace("<!-- end of the comparison -->", ""),
        text.replace("digits/*", "digits/seed=0"),
        text.replace("digits/*", "missing/*"),
        "# Results\n",
    ):
        assert wrong != text
        document.write_text(wrong)
        assert problems(repository, repository) != []
    document.write_text(text)
    (digits / "seed=1" / "model.keras").touch()
    assert "must have" in problems(repository, repository)[0]
    (digits / "seed=1" / "model.keras").unlink()
    (digits / "seed=1" / "flags.txt").unlink()
    assert "must have" in problems(repository, repository)[0]
    (digits / "notes.txt").touch()
    assert "notes.txt is no record" in problems(repository, repository)[0]
