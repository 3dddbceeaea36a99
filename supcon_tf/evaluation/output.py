"""What an evaluation leaves on disk: robustness.json, .npz, figures, report.md."""

import sys
from pathlib import Path

import numpy as np

from supcon_tf.evaluation.findings import Findings
from supcon_tf.evaluation.report.content import Content
from supcon_tf.evaluation.report.figures import draw_figures
from supcon_tf.evaluation.report.report import write_report
from supcon_tf.results.record import EvaluationResult
from supcon_tf.runs.files import replacing, write_text
from supcon_tf.runs.run_folder import RunFolder


def write_evaluation(
    destination: RunFolder,
    findings: Findings,
    result: EvaluationResult,
    introduction: str,
    origin: list[str],
) -> list[Path]:
    """Writes everything but TensorBoard's logs, and warns of failed checks.

    Args:
        destination: the folder, a run's or not.
        findings: of the evaluation.
        result: the record of it.
        introduction: the report's first paragraph.
        origin: of data and model, as list items of the report.

    Returns:
        The figures' files.
    """
    outcomes = {
        f"{stage}/{name}": outcome
        for stage, evaluation in findings.by_stage.items()
        for name, outcome in evaluation.outcomes.items()
    }
    with replacing(destination.robustness_file.with_suffix(".npz")) as file:
        np.savez_compressed(file, **outcomes)  # type: ignore[arg-type]
    write_text(destination.robustness_file, result.to_json())
    pictures = draw_figures(destination.figures, findings)
    content = Content(
        findings.data.name, result, introduction, tuple(origin), tuple(pictures)
    )
    write_report(destination, content)
    for check in result.final.failed_checks:
        print(f"warning: check {check.name} failed: {check.detail}", file=sys.stderr)
    return [picture.path for picture in pictures]
