"""AutoAttack's figures in the report: what each of its attacks has left."""

from typing import Any

from supcon_tf.results.accuracy import strength, strength_text
from supcon_tf.results.markdown import markdown_table

# Of the standard version; with fewer than ten classes there are not as many.
_TARGETS = 9


def autoattack_section(result: dict[str, Any]) -> str:
    """A table for people, empty if AutoAttack was not made.

    Args:
        result: what robustness.json holds.
    """
    rows = [
        (model, row)
        for model in result["models"]
        for row in model["attacks"] or []
        if row.get("cumulative")
    ]
    if not rows:
        return ""
    attacks = list(
        dict.fromkeys(step["attack"] for _, row in rows for step in row["cumulative"])
    )
    cells = []
    for model, row in rows:
        left = {step["attack"]: step["accuracy"] for step in row["cumulative"]}
        cells.append(
            [
                model["stage"],
                strength_text(strength(row), row["norm"]),
                f"{model['clean_accuracy']:.2%}",
                *(f"{left[attack]:.2%}" for attack in attacks),
            ]
        )
    header = ["stage", "epsilon", "clean", *attacks]
    return "\n\n".join(
        [
            "### AutoAttack, attack by attack",
            "Each attack sees the images that the ones before it have left; the last "
            "column is AutoAttack's figure, to be compared with RobustBench's.",
            markdown_table(header, cells),
            *_fewer_targets([row for _, row in rows]),
        ]
    )


def _fewer_targets(rows: list[dict[str, Any]]) -> list[str]:
    targets = {
        member["targets"]
        for row in rows
        for member in row["parameters"].get("members", [])
        if member.get("targets") is not None
    }
    if not targets or max(targets) >= _TARGETS:
        return []
    return [
        f"The targeted attacks aim at {max(targets)} wrong classes, all there are, and "
        f"not at {_TARGETS}."
    ]
