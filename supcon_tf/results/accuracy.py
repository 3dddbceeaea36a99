"""The accuracies of robustness.json, in a table and in words."""

from supcon_tf.results.record import AttackRow, EvaluationResult, ModelResult, WorstRow
from supcon_tf.results.strength import strength_text

# The strengths that the field compares at, as on the command line.
CUSTOMARY = {"linf": 8.0, "l2": 0.5}
# They miss weaknesses that any search finds, so that alone they show nothing.
WEAK = {"fgsm": "FGSM", "noise": "random noise", "transfer": "a transfer attack"}


def accuracy_table(result: EvaluationResult) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a row for each stage and attack, a column for each epsilon."""
    columns = sorted(
        {(row.strength, row.norm) for model in result.models for row in _rows(model)}
    )
    header = ["stage", "attack", "clean", *(strength_text(*c) for c in columns)]
    table = []
    for model in result.models:
        if model.attacks is None:
            table.append([model.stage, "(classifier untrained)", "-"])
            continue
        clean = f"{model.clean_accuracy:.1%}"
        rows: list[tuple[str, AttackRow | WorstRow]] = [
            *((row.name, row) for row in model.attacks),
            *(("worst", row) for row in model.worst or ()),
        ]
        for name in dict.fromkeys(name for name, _ in rows):
            found = {
                (row.strength, row.norm): f"{row.accuracy:.1%}"
                for other, row in rows
                if other == name
            }
            cells = [found.get(column, "-") for column in columns]
            table.append([model.stage, name, clean, *cells])
    return header, [row + ["-"] * (len(header) - len(row)) for row in table]


def headline(result: EvaluationResult) -> str:
    """What withstands everything, in words: at 8/255 (L2: 0.5), or else the strongest.

    A caution follows where the figure is no evidence of robustness.
    """
    model = result.final
    if model.attacks is None or model.clean_accuracy is None:
        return "Nothing was attacked: the classifier is untrained."
    worst = {row.strength: row for row in model.worst or ()}
    if not worst:
        return ""
    customary = CUSTOMARY[next(iter(worst.values())).norm]
    epsilon = customary if customary in worst else max(worst)
    row = worst[epsilon]
    robust, clean = 100 * row.accuracy, 100 * model.clean_accuracy
    sentences = [
        f"At {row.strength_text} {robust:.1f} % of the {result.split} images withstand "
        f"everything that was tried ({', '.join(row.attacks)}); without an attack "
        f"{clean:.1f} % are classified correctly."
    ]
    if set(row.attacks) <= WEAK.keys():
        weak = " and ".join(WEAK[name] for name in row.attacks)
        sentences.append(
            f"**{weak[0].upper()}{weak[1:]} alone is no evidence of robustness**: "
            "models have withstood it and lost every image to a stronger attack. Add "
            "--attacks=pgd or more."
        )
    if failed := len(model.failed_checks):
        sentences.append(
            f"**{failed} masking check{'s' * (failed > 1)} failed, so that it may be "
            "less.**"
        )
    return " ".join(sentences)


def reading(result: EvaluationResult) -> str:
    """What a cell of the table is, and how sure."""
    rows = [row for model in result.models for row in _rows(model)]
    if not rows:
        return ""
    widest = max(row.farthest_bound for row in rows)
    worst = any(model.worst for model in result.models)
    return (
        "Each cell is the share of all images that are classified correctly under the "
        "attack; images that were wrong without it count as wrong. "
        + ("Worst: images that withstand every attack of that strength. " * worst)
        + f"95 % intervals are within ± {100 * widest:.1f} points (robustness.json has "
        "each)."
    )


def _rows(model: ModelResult) -> list[AttackRow | WorstRow]:
    return [*(model.attacks or ()), *(model.worst or ())]
