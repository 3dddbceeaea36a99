"""robustness.json as a table and a report for people."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supcon_tf.config import Config
from supcon_tf.data import ImageData
from supcon_tf.files import write_text
from supcon_tf.run_folder import RunFolder


def write_report(
    folder: RunFolder,
    config: Config,
    data: ImageData,
    result: dict[str, Any],
    figures: Mapping[str, Path],
) -> None:
    """Writes report.md.

    Args:
        folder: the run's.
        config: the run's.
        data: what was trained on.
        result: what robustness.json holds.
        figures: files within the folder, by caption.
    """
    pictures = [
        f"![{caption}]({path.relative_to(folder.path)})\n\n{caption}."
        for caption, path in figures.items()
    ]
    sections = [
        f"# {data.name}: accuracy under attack",
        _introduction(config, result),
        "## Accuracy",
        markdown_table(*accuracy_table(result)),
        _reading(result),
        pictures[0],
        "## Can these figures be believed?",
        _checks(result),
        "## Embedding",
        markdown_table(*_embedding_table(result)),
        *pictures[1:],
        "## Settings",
        _settings(config, data, result),
    ]
    write_text(folder.report_file, "\n\n".join(sections) + "\n")


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


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns also line up as plain text."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def _strength(row: dict[str, Any]) -> float:
    return row["epsilon"] if row["epsilon_255"] is None else row["epsilon_255"]


def _checks(result: dict[str, Any]) -> str:
    checks = result["models"][-1]["checks"]
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


def _embedding_table(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for model in result["models"]:
        row = [model["stage"]]
        for key, form in EMBEDDING_COLUMNS.values():
            value = model["embedding"].get(key)
            row.append("-" if value is None else form.format(value))
        rows.append(row)
    return ["stage", *EMBEDDING_COLUMNS], rows


def _introduction(config: Config, result: dict[str, Any]) -> str:
    stages = ", ".join(
        f"{name} ({stage.epochs} epochs: "
        + " + ".join(f"{w:g} {part}" for part, w in stage.loss_weights.items())
        + ")"
        for name, stage in config.stages()
    )
    return (
        f"ResNet-18 of width {config.model.width}, trained in {stages}, seed "
        f"{config.seed}; attacked on {result['num_examples']} {result['split']} images "
        f"of {result['dataset']} that played no part in training."
    )


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


def _settings(config: Config, data: ImageData, result: dict[str, Any]) -> str:
    lines = [
        f"- data: {data.name}, {len(data.train)} training images, "
        f"{len(data.validation) if data.validation else 0} validation, "
        f"{len(data.test)} test, {data.num_classes} classes",
        "- flags: [flags.txt](flags.txt), usable again as a flagfile",
        "- outcome of each image: robustness.npz",
        "- versions: " + ", ".join(f"{k} {v}" for k, v in result["versions"].items()),
    ]
    for model in result["models"][-1:]:
        seen = {}
        for row in model["attacks"] or []:
            settings = {k: v for k, v in row["parameters"].items() if k != "step_size"}
            seen[row["name"]] = ", ".join(f"{k} {v}" for k, v in settings.items())
        lines += [f"- {name}: {row}" for name, row in seen.items()]
    return "\n".join(lines)
