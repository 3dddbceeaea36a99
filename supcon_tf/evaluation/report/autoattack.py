"""AutoAttack's figures in the report: what each of its attacks has left."""

from collections.abc import Sequence

from supcon_tf.evaluation.report.content import Content
from supcon_tf.results.markdown import markdown_table
from supcon_tf.results.record import AttackRow

# Of the standard version; with fewer than ten classes there are not as many.
_TARGETS = 9


def autoattack(content: Content) -> str:
    """A table of what each has left, empty if AutoAttack was not made."""
    result = content.result
    rows = [
        (model, row, row.cumulative)
        for model in result.models
        for row in model.attacks or ()
        if row.cumulative
    ]
    if not rows:
        return ""
    attacks = list(dict.fromkeys(step.attack for _, _, steps in rows for step in steps))
    cells = []
    for model, row, steps in rows:
        left = {step.attack: step.accuracy for step in steps}
        cells.append(
            [
                model.stage,
                row.strength_text,
                f"{model.clean_accuracy:.2%}",
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
            *_fewer_targets([row for _, row, _ in rows]),
        ]
    )


def _fewer_targets(rows: Sequence[AttackRow]) -> list[str]:
    targets = {
        targets
        for row in rows
        for member in row.members
        if isinstance(targets := member.get("targets"), int)
    }
    if not targets or max(targets) >= _TARGETS:
        return []
    return [
        f"The targeted attacks aim at {max(targets)} wrong classes, all there are, and "
        f"not at {_TARGETS}."
    ]
