"""What an evaluation leaves on disk: robustness.json, .npz, figures, report.md.

The report comes last: a folder that has it is not evaluated again.
"""

import sys

import numpy as np

from supcon_tf.evaluation.findings import Findings
from supcon_tf.evaluation.report.content import Picture
from supcon_tf.evaluation.report.figures import draw_figures
from supcon_tf.results.record import EvaluationResult
from supcon_tf.runs.files import replacing, write_text
from supcon_tf.runs.run_folder import RunFolder


def write_record(
    destination: RunFolder, findings: Findings, result: EvaluationResult
) -> list[Picture]:
    """Writes what was found and the figures of it, and warns of failed checks.

    Args:
        destination: the folder, a run's or not.
        findings: of the evaluation.
        result: the record of it.

    Returns:
        The figures.
    """
    outcomes = {
        f"{stage}/{name}": outcome
        for stage, evaluation in findings.by_stage.items()
        for name, outcome in evaluation.outcomes.items()
    }
    with replacing(destination.robustness_file.with_suffix(".npz")) as file:
        np.savez_compressed(file, **outcomes)  # type: ignore[arg-type]
    write_text(destination.robustness_file, result.to_json())
    for check in result.final.failed_checks:
        print(f"warning: check {check.name} failed: {check.detail}", file=sys.stderr)
    return draw_figures(destination.figures, findings)
