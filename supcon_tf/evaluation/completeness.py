"""Whether an evaluation holds all of an earlier one, and so may take its place."""

from collections.abc import Iterator, Mapping

from supcon_tf.config import EvaluationConfig
from supcon_tf.config.attacks import attacks_by_option
from supcon_tf.config.options import plain_number
from supcon_tf.errors import UserError
from supcon_tf.results.record import AttackRow, EvaluationResult
from supcon_tf.runs.run_folder import RunFolder


def refuse_to_shrink(
    folder: RunFolder, settings: EvaluationConfig, num_examples: int
) -> None:
    """Refuses an evaluation that would lose figures of the one in a run folder.

    Args:
        folder: the run's; without robustness.json nothing is refused.
        settings: of the evaluation that is to be made.
        num_examples: how many images it attacks; 0 for all there are.

    Raises:
        UserError: naming what would be lost, and `--output`.
    """
    if not folder.robustness_file.exists():
        return
    # Where robustness.json does not say, the run was evaluated as it was trained.
    trained_with = folder.config().evaluation
    try:
        text = folder.robustness_file.read_text(encoding="utf-8")
        earlier = EvaluationResult.from_json(text)
        made_with = earlier.made_with(trained_with)
    except (OSError, ValueError) as error:
        raise UserError(
            "--run_dir holds a robustness.json that can't be read, so it is not "
            f"replaced; give --output. Received: {folder.robustness_file} ({error})"
        ) from error
    lost = list(_losses(earlier, made_with, settings, num_examples))
    if lost:
        raise UserError(
            f"--run_dir={folder.path} holds an evaluation that this one must not "
            "replace; python -m supcon_tf.evaluation takes --output=DIR. "
            f"It differs: {'; '.join(lost)}"
        )


def covers(
    result: EvaluationResult, settings: EvaluationConfig, num_examples: int
) -> bool:
    """Whether an evaluation holds all that one with these settings would give.

    Args:
        result: the evaluation.
        settings: of the evaluation that is asked for.
        num_examples: how many images it attacks.
    """
    if not result.settings:
        return False
    try:
        made_with = result.made_with()
    except UserError:
        return False
    exact = ["split", "norm"]
    # The checks attack with PGD, whatever else does.
    made = {*settings.attacks, *(("pgd",) if settings.checks_limit else ())}
    exact += [o for o, attacks in attacks_by_option().items() if made & attacks.keys()]
    if settings.transfer_from:
        exact.append("transfer_from")
    return (
        all(getattr(made_with, name) == getattr(settings, name) for name in exact)
        and set(settings.attacks) <= set(made_with.attacks)
        and set(settings.epsilons) <= set(made_with.epsilons)
        and settings.checks_limit <= made_with.checks_limit
        and num_examples <= result.num_examples
    )


def _losses(
    earlier: EvaluationResult,
    made_with: EvaluationConfig,
    settings: EvaluationConfig,
    num_examples: int,
) -> Iterator[str]:
    """What the earlier evaluation has and the new one would not, in words."""
    if earlier.split != settings.split:
        yield f"--split was {earlier.split}, now {settings.split}"
    if 0 < num_examples < earlier.num_examples:
        yield f"--limit gives {num_examples} of its {earlier.num_examples} images"
    rows = [row for model in earlier.models for row in model.attacks or ()]
    norms = {row.norm for row in rows}
    if norms - {settings.norm}:
        yield f"--norm was {', '.join(sorted(norms))}, now {settings.norm}"
        return
    names = dict.fromkeys(row.name for row in rows)
    if missing := [name for name in names if name not in settings.attacks]:
        yield f"--attacks lacks {', '.join(missing)}"
    strengths = sorted({row.strength for row in rows} - set(settings.epsilons))
    if strengths:
        yield f"--epsilons lacks {', '.join(map(plain_number, strengths))}"
    for option, arguments in attacks_by_option().items():
        yield from _changed(rows, option, getattr(settings, option), arguments)
    if made_with.transfer_from and made_with.transfer_from != settings.transfer_from:
        yield (
            f"--transfer_from was {made_with.transfer_from}, now "
            f"{settings.transfer_from!r}"
        )
    checked = any(model.checks for model in earlier.models)
    before, now = made_with.checks_limit, settings.checks_limit
    if checked and now < before:
        yield f"--checks_limit was {before}, now {now}"


def _changed(
    rows: list[AttackRow], option: str, value: float, arguments: Mapping[str, str]
) -> Iterator[str]:
    """Whether rows were made with another value of an option.

    Args:
        rows: of the earlier evaluation.
        option: of `EvaluationConfig`.
        value: that it has now.
        arguments: the parameter of the row that it gives, by the name of the attack.
    """
    values = {
        made_with
        for row in rows
        if row.name in arguments
        and isinstance(
            made_with := row.parameters.get(arguments[row.name]), int | float
        )
    }
    if other := sorted(values - {value}):
        yield f"--{option} was {other[0]}, now {value}"
