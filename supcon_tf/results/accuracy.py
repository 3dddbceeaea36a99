"""The accuracies of robustness.json, in a table and in words."""

from collections.abc import Mapping
from typing import Any

from supcon_tf.config.options import plain_number
from supcon_tf.results.intervals import farthest_bound

# The strengths that the field compares at, as on the command line.
CUSTOMARY = {"linf": 8.0, "l2": 0.5}
# They miss weaknesses that any search finds, so that alone they show nothing.
WEAK = {"fgsm": "FGSM", "noise": "random noise", "transfer": "a transfer attack"}


def strength(row: Mapping[str, Any]) -> float:
    """The epsilon of a row of robustness.json, as on the command line."""
    return row["epsilon"] if row["epsilon_255"] is None else row["epsilon_255"]


def strength_text(epsilon: float, norm: str) -> str:
    """An epsilon of the command line with its unit."""
    return plain_number(epsilon) + ("/255" if norm == "linf" else " L2")


def outcome_name(attack: str, epsilon: float) -> str:
    """The name of an attack's outcomes, with every digit of its epsilon."""
    return f"{attack}@{plain_number(epsilon)}"


def accuracy_table(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a row for each stage and attack, a column for each epsilon."""
    columns = sorted(
        {
            (strength(row), row["norm"])
            for model in result["models"]
            for row in _rows(model)
        }
    )
    header = ["stage", "attack", "clean", *(strength_text(*c) for c in columns)]
    table = []
    for model in result["models"]:
        if model["attacks"] is None:
            table.append([model["stage"], "(classifier untrained)", "-"])
            continue
        clean = f"{model['clean_accuracy']:.1%}"
        rows = [(row["name"], row) for row in model["attacks"]]
        rows += [("worst", row) for row in model.get("worst") or []]
        for name in dict.fromkeys(name for name, _ in rows):
            found = {
                (strength(row), row["norm"]): f"{row['accuracy']:.1%}"
                for other, row in rows
                if other == name
            }
            cells = [found.get(column, "-") for column in columns]
            table.append([model["stage"], name, clean, *cells])
    return header, [row + ["-"] * (len(header) - len(row)) for row in table]


def headline(result: Mapping[str, Any]) -> str:
    """What withstands everything, in words: at 8/255 (L2: 0.5), or else the strongest.

    A caution follows where the figure is no evidence of robustness.
    """
    model = result["models"][-1]
    if model["attacks"] is None:
        return "Nothing was attacked: the classifier is untrained."
    worst = {strength(row): row for row in model.get("worst") or []}
    if not worst:
        return ""
    customary = CUSTOMARY[next(iter(worst.values()))["norm"]]
    epsilon = customary if customary in worst else max(worst)
    row = worst[epsilon]
    robust, clean = 100 * row["accuracy"], 100 * model["clean_accuracy"]
    sentences = [
        f"At {strength_text(epsilon, row['norm'])} {robust:.1f} % of the "
        f"{result['split']} images withstand everything that was tried "
        f"({', '.join(row['attacks'])}); without an attack {clean:.1f} % are "
        "classified correctly."
    ]
    if set(row["attacks"]) <= WEAK.keys():
        weak = " and ".join(WEAK[name] for name in row["attacks"])
        sentences.append(
            f"**{weak[0].upper()}{weak[1:]} alone is no evidence of robustness**: "
            "models have withstood it and lost every image to a stronger attack. Add "
            "--attacks=pgd or more."
        )
    failed = sum(check["passed"] is False for check in model.get("checks") or [])
    if failed:
        sentences.append(
            f"**{failed} masking check{'s' * (failed > 1)} failed, so that it may be "
            "less.**"
        )
    return " ".join(sentences)


def reading(result: Mapping[str, Any]) -> str:
    """What a cell of the table is, and how sure."""
    rows = [row for model in result["models"] for row in _rows(model)]
    if not rows:
        return ""
    widest = max(map(farthest_bound, rows))
    worst = any(model.get("worst") for model in result["models"])
    return (
        "Each cell is the share of all images that are classified correctly under the "
        "attack; images that were wrong without it count as wrong. "
        + ("Worst: images that withstand every attack of that strength. " * worst)
        + f"95 % intervals are within ± {100 * widest:.1f} points (robustness.json has "
        "each)."
    )


def _rows(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*(model["attacks"] or []), *(model.get("worst") or [])]
