"""Whether the report's figures can be believed."""

from supcon_tf.evaluation.report.content import Content
from supcon_tf.results.markdown import markdown_table
from supcon_tf.results.record import ModelResult

WORDS = {True: "pass", False: "FAIL", None: "n/a"}


def checks(content: Content) -> str:
    """The masking checks of the final model."""
    return f"## Can these figures be believed?\n\n{_verdict(content.result.final)}"


def _verdict(model: ModelResult) -> str:
    if model.attacks is None:
        return (
            "There is nothing to check: the classifier is untrained, so no attack ran."
        )
    if not model.checks:
        return "The masking checks were not run (--checks_limit=0)."
    failures = len(model.failed_checks)
    applied = sum(check.passed is not None for check in model.checks)
    verdict = (
        f"{failures} of {applied} checks failed: the figures above may be too good."
        if failures
        else f"No sign of masked gradients was found in the final model by {applied} "
        "checks."
    )
    if applied < len(model.checks):
        verdict += f" Not applicable (n/a): {len(model.checks) - applied}."
    rows = [[check.name, WORDS[check.passed], check.detail] for check in model.checks]
    return f"{verdict}\n\n{markdown_table(['check', 'result', 'finding'], rows)}"
