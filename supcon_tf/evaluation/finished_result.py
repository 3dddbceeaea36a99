"""An earlier evaluation that is all that one now would give."""

from supcon_tf.config import Config
from supcon_tf.data import ImageData
from supcon_tf.evaluation.completeness import covers
from supcon_tf.evaluation.finished_parts import file_digest
from supcon_tf.results.record import EvaluationResult, ModelResult, read_result
from supcon_tf.runs.run_folder import RunFolder


def finished_result(
    folder: RunFolder, config: Config, data: ImageData, num_examples: int
) -> EvaluationResult | None:
    """The evaluation in a run folder, if that is all that an evaluation now would give.

    Args:
        folder: the run's.
        config: what would be evaluated, and how.
        data: the images.
        num_examples: how many of them would be attacked.

    Raises:
        UserError: if robustness.json is not one.
    """
    if not (folder.robustness_file.exists() and folder.report_file.exists()):
        return None
    result = read_result(folder.robustness_file)
    # Earlier versions did not write down which images they attacked.
    same = (
        result.data_digest in (None, data.fingerprint.digest)
        and (result.dataset, result.seed) == (config.data.dataset, config.seed)
        and all(_is_of(model, folder) for model in result.models)
    )
    return result if same and covers(result, config.evaluation, num_examples) else None


def _is_of(evaluated: ModelResult, folder: RunFolder) -> bool:
    """Whether a model of robustness.json is the one that lies in the run folder."""
    path = folder.model(evaluated.stage)
    if not path.is_file():
        return False
    if evaluated.model_sha256 is not None:
        return evaluated.model_sha256 == file_digest(path)
    # Schema 1 does not say which model it was; it was there before its evaluation.
    return path.stat().st_mtime <= folder.robustness_file.stat().st_mtime
