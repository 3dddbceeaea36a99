"""robustness.json as a table and a report for people."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from supcon_tf.config import Config, EvaluationConfig
from supcon_tf.data import ImageData
from supcon_tf.evaluation.autoattack_section import autoattack_section
from supcon_tf.files import write_text
from supcon_tf.markdown import markdown_table
from supcon_tf.options import options_of, plain_number
from supcon_tf.run_folder import RunFolder

# Captions that decide where a figure stands.
CURVES = "Accuracy over attack strength"


def write_report(
    folder: RunFolder,
    name: str,
    result: dict[str, Any],
    figures: Mapping[str, Path],
    introduction: str,
    origin: list[str],
) -> None:
    """Writes report.md.

    Args:
        folder: where it goes.
        name: of the data set.
        result: what robustness.json holds.
        figures: files within the folder, by caption.
        introduction: what was evaluated, in a paragraph.
        origin: of data and model, as list items.
    """
    pictures = {
        caption: f"![{caption}]({path.relative_to(folder.path)})\n\n{caption}."
        for caption, path in figures.items()
    }
    sections = [
        f"# {name}: accuracy under attack",
        introduction,
        "## Accuracy",
        markdown_table(*accuracy_table(result)),
        _reading(result),
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


def run_introduction(config: Config, result: dict[str, Any]) -> str:
    """What a run trained, and on what it was attacked."""
    stages = ", ".join(
        f"{name} ({stage.epochs} epoch{'s' * (stage.epochs > 1)}: "
        + " + ".join(f"{w:g} {part}" for part, w in stage.loss_weights.items())
        + ")"
        for name, stage in config.stages()
    )
    return (
        f"ResNet-18 of width {config.model.width}, trained in {stages}, seed "
        f"{config.seed}; attacked on {_images(result)} that played no part in training."
    )


def file_introduction(path: Path, model: keras.Model, result: dict[str, Any]) -> str:
    """Where a model of unknown history comes from, and on what it was attacked."""
    return (
        f"The Keras model {path.name} ({model.count_params():,} parameters), attacked "
        f"on {_images(result)}. Whether it has seen them before is not known here."
    )


def data_line(data: ImageData) -> str:
    """The sizes of a data set."""
    return (
        f"data: {data.name}, {len(data.train)} training images, "
        f"{len(data.validation) if data.validation else 0} validation, "
        f"{len(data.test)} test, {data.num_classes} classes"
    )


def accuracy_table(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a row for each stage and attack, a column for each epsilon."""
    epsilons = sorted(
        {_strength(row) for m in result["models"] for row in m["attacks"] or []}
    )
    norms = {row["norm"] for m in result["models"] for row in m["attacks"] or []}
    unit = "" if norms == {"l2"} else "/255"
    header = ["stage", "attack", "clean", *(f"{e:g}{unit}" for e in epsilons)]
    rows = []
    for model in result["models"]:
        if model["attacks"] is None:
            rows.append([model["stage"], "(classifier untrained)", "-"])
            continue
        clean = f"{model['clean_accuracy']:.1%}"
        for name in dict.fromkeys(row["name"] for row in model["attacks"]):
            found = {
                _strength(row): f"{row['accuracy']:.1%}"
                for row in model["attacks"]
                if row["name"] == name
            }
            cells = [found.get(epsilon, "-") for epsilon in epsilons]
            rows.append([model["stage"], name, clean, *cells])
    return header, [row + ["-"] * (len(header) - len(row)) for row in rows]


def _strength(row: dict[str, Any]) -> float:
    return row["epsilon"] if row["epsilon_255"] is None else row["epsilon_255"]


def _checks(result: dict[str, Any]) -> str:
    model = result["models"][-1]
    if model["attacks"] is None:
        return (
            "There is nothing to check: the classifier is untrained, so no attack ran."
        )
    checks = model["checks"]
    if not checks:
        return "The masking checks were not run (--checks_limit=0)."
    words = {True: "pass", False: "FAIL", None: "n/a"}
    rows = [[c["name"], words[c["passed"]], c["detail"]] for c in checks]
    failures = sum(c["passed"] is False for c in checks)
    verdict = (
        f"{failures} of {len(checks)} checks failed: the figures above may be too good."
        if failures
        else "No sign of masked gradients was found in the final model."
    )
    return f"{verdict}\n\n{markdown_table(['check', 'result', 'finding'], rows)}"


EMBEDDING_COLUMNS = {
    "kNN accuracy": ("knn_accuracy", "{:.1%}"),
    "linear probe": ("linear_probe_accuracy", "{:.1%}"),
    "cosine within classes": ("intra_class_cosine", "{:.3f}"),
    "between classes": ("inter_class_cosine", "{:.3f}"),
    "margin": ("margin_mean", "{:.3f}"),
    "relative margin": ("relative_margin_mean", "{:.4f}"),
}


def _embedding(result: dict[str, Any]) -> str:
    header, rows = _embedding_table(result)
    if header == ["stage"]:
        return (
            "Not measured: of another model than a ContrastiveClassifier it is not "
            "known which layer is the embedding."
        )
    return markdown_table(header, rows)


def _embedding_table(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for model in result["models"]:
        row = [model["stage"]]
        for key, form in EMBEDDING_COLUMNS.values():
            value = model["embedding"].get(key)
            row.append("-" if value is None else form.format(value))
        rows.append(row)
    # A column that no stage fills, such as the linear probe's, only confuses.
    filled = [i for i in range(len(rows[0])) if any(row[i] != "-" for row in rows)]
    header = ["stage", *EMBEDDING_COLUMNS]
    return [header[i] for i in filled], [[row[i] for i in filled] for row in rows]


def _reading(result: dict[str, Any]) -> str:
    rows = [row for m in result["models"] for row in m["attacks"] or []]
    if not rows:
        return ""
    widest = max(row["interval_95"][1] - row["interval_95"][0] for row in rows)
    return (
        "Each cell is the share of all images that are classified correctly under the "
        "attack; images that were wrong without it count as wrong. 95 % intervals are "
        f"within ± {50 * widest:.1f} points (robustness.json has each)."
    )


def _images(result: dict[str, Any]) -> str:
    return f"{result['num_examples']} {result['split']} images of {result['dataset']}"


def _settings(result: dict[str, Any], origin: list[str]) -> str:
    evaluated = " ".join(
        f"--{field.name}={_flag(result['settings'][field.name])}"
        for field, _ in options_of(EvaluationConfig)
        if result["settings"][field.name] != ""
    )
    lines = [
        *origin,
        f"flags of evaluation: {evaluated}",
        "outcome of each image: robustness.npz",
        "versions: " + ", ".join(f"{k} {v}" for k, v in result["versions"].items()),
    ]
    for model in result["models"][-1:]:
        seen = {}
        for row in model["attacks"] or []:
            settings = {k: v for k, v in row["parameters"].items() if k != "step_size"}
            seen[row["name"]] = ", ".join(f"{k} {v}" for k, v in settings.items())
        lines += [f"{name}: {row}" for name, row in seen.items()]
    return "\n".join(f"- {line}" for line in lines)


def _flag(value: Any) -> str:
    several = isinstance(value, tuple | list)
    return ",".join(map(plain_number, value)) if several else str(value)
