"""robustness.json as a report for people."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from supcon_tf.config import Config
from supcon_tf.config.options import options_of, plain_number
from supcon_tf.data import ImageData
from supcon_tf.evaluation.report.autoattack import autoattack_section
from supcon_tf.results.accuracy import accuracy_table, headline, reading
from supcon_tf.results.markdown import markdown_table, plain
from supcon_tf.results.record import EvaluationResult
from supcon_tf.runs.files import write_text
from supcon_tf.runs.history import history_sentence
from supcon_tf.runs.run_folder import RunFolder

# Captions that decide where a figure stands.
CURVES = "Accuracy over attack strength"


def write_report(
    folder: RunFolder,
    name: str,
    result: EvaluationResult,
    figures: Mapping[str, Path],
    introduction: str,
    origin: list[str],
) -> None:
    """Writes report.md.

    Args:
        folder: where it goes.
        name: of the data set.
        result: the evaluation.
        figures: files within the folder, by caption.
        introduction: what was evaluated, in a paragraph.
        origin: of data and model, as list items.
    """
    pictures = {
        caption: f"![{caption}]({path.relative_to(folder.path)})\n\n{caption}."
        for caption, path in figures.items()
    }
    sections = [
        f"# {plain(name)}: accuracy under attack",
        headline(result),
        introduction,
        "## Accuracy",
        markdown_table(*accuracy_table(result)),
        reading(result),
        autoattack_section(result),
        pictures.pop(CURVES, ""),
        "## Can these figures be believed?",
        _checks(result),
        "## Embedding",
        _embedding(result),
        *pictures.values(),
        "## Settings",
        _settings(result, origin),
    ]
    write_text(folder.report_file, "\n\n".join(filter(None, sections)) + "\n")


def run_introduction(
    config: Config, history: Mapping[str, Any], result: EvaluationResult, part: str
) -> str:
    """What a run trained, on what it was attacked, and their part in training."""
    return (
        f"ResNet-18 of width {config.model.width}, trained in "
        f"{history_sentence(history)}, seed {config.seed}; attacked on "
        f"{_images(result)}{part}"
    )


def file_introduction(path: Path, model: keras.Model, result: EvaluationResult) -> str:
    """Where a model of unknown history comes from, and on what it was attacked."""
    return (
        f"The Keras model {plain(path.name)} ({model.count_params():,} parameters), "
        f"attacked on {_images(result)}. Whether it has seen them before is not known "
        "here."
    )


def data_line(data: ImageData) -> str:
    """The sizes of a data set."""
    return (
        f"data: {plain(data.name)}, {len(data.train)} training images, "
        f"{len(data.validation) if data.validation else 0} validation, "
        f"{len(data.test)} test, {data.num_classes} classes"
    )


def _checks(result: EvaluationResult) -> str:
    model = result.final
    if model.attacks is None:
        return (
            "There is nothing to check: the classifier is untrained, so no attack ran."
        )
    checks = model.checks
    if not checks:
        return "The masking checks were not run (--checks_limit=0)."
    words = {True: "pass", False: "FAIL", None: "n/a"}
    rows = [[check.name, words[check.passed], check.detail] for check in checks]
    failures = len(model.failed_checks)
    applied = sum(check.passed is not None for check in checks)
    verdict = (
        f"{failures} of {applied} checks failed: the figures above may be too good."
        if failures
        else f"No sign of masked gradients was found in the final model by {applied} "
        "checks."
    )
    if applied < len(checks):
        verdict += f" Not applicable (n/a): {len(checks) - applied}."
    return f"{verdict}\n\n{markdown_table(['check', 'result', 'finding'], rows)}"


EMBEDDING_COLUMNS = {
    "kNN accuracy": ("knn_accuracy", "{:.1%}"),
    "linear probe": ("linear_probe_accuracy", "{:.1%}"),
    "cosine within classes": ("intra_class_cosine", "{:z.3f}"),
    "between classes": ("inter_class_cosine", "{:z.3f}"),
    "margin": ("margin_mean", "{:z.3f}"),
    "relative margin": ("relative_margin_mean", "{:z.4f}"),
}


def _embedding(result: EvaluationResult) -> str:
    header, rows = _embedding_table(result)
    if header == ["stage"]:
        return (
            "Not measured: of another model than a ContrastiveClassifier it is not "
            "known which layer is the embedding."
        )
    return markdown_table(header, rows)


def _embedding_table(result: EvaluationResult) -> tuple[list[str], list[list[str]]]:
    rows = []
    for model in result.models:
        row = [model.stage]
        for key, form in EMBEDDING_COLUMNS.values():
            value = getattr(model.embedding, key)
            row.append("-" if value is None else form.format(value))
        rows.append(row)
    # A column that no stage fills, such as the linear probe's, only confuses.
    filled = [i for i in range(len(rows[0])) if any(row[i] != "-" for row in rows)]
    header = ["stage", *EMBEDDING_COLUMNS]
    return [header[i] for i in filled], [[row[i] for i in filled] for row in rows]


def _images(result: EvaluationResult) -> str:
    return f"{result.num_examples} {result.split} images of {plain(result.dataset)}"


def _settings(result: EvaluationResult, origin: list[str]) -> str:
    settings = result.made_with()
    evaluated = " ".join(
        f"--{field.name}={_flag(value)}"
        for field, _ in options_of(settings)
        if (value := getattr(settings, field.name)) != ""
    )
    lines = [
        *origin,
        f"flags of evaluation: {evaluated}",
        "outcome of each image: robustness.npz",
        "versions: " + ", ".join(f"{k} {v}" for k, v in result.versions.items()),
    ]
    seen = {}
    for row in result.final.attacks or ():
        made = {k: v for k, v in row.parameters.items() if k != "step_size"}
        seen[row.name] = ", ".join(
            f"{name} {_setting(value)}" for name, value in made.items()
        )
    lines += [f"{name}: {row}" for name, row in seen.items()]
    return "\n".join(f"- {line}" for line in lines)


def _flag(value: Any) -> str:
    several = isinstance(value, tuple | list)
    return plain(",".join(map(plain_number, value)) if several else str(value))


def _setting(value: Any) -> str:
    """A parameter of an attack; of the attacks it is made of, their names."""
    if isinstance(value, list):
        return " then ".join(member["name"] for member in value)
    return str(value)
