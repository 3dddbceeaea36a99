"""All that an evaluation has found: what its files are written from."""

import dataclasses
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from supcon_tf import __version__
from supcon_tf.config import Config, StageConfig
from supcon_tf.data import ImageData, Split
from supcon_tf.evaluation.finished_parts import file_digest
from supcon_tf.evaluation.model_evaluation import Evaluation
from supcon_tf.results.record import EvaluationResult
from supcon_tf.results.typed_json import plain_json

PACKAGES = ("tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class ModelFile:
    """A model that is to be evaluated.

    Args:
        path: its file.
        origin: the flag or the file that it came from, for messages.
        stage: what it is called in robustness.json.
        title: of the progress bars.
        classifier_trained: whether its logits mean something.
        trained_by: the last stage that trained it; None if it is not known.
    """

    path: Path
    origin: str
    stage: str
    title: str
    classifier_trained: bool = True
    trained_by: StageConfig | None = None


@dataclass(frozen=True)
class Findings:
    """What was found out about the models of an evaluation.

    Args:
        config: what they were evaluated with.
        data: the data set.
        split: the images that were attacked.
        files: of the models, the final one last.
        evaluations: of the models, in the same order.
        num_parameters: of the final model.
    """

    config: Config
    data: ImageData
    split: Split
    files: tuple[ModelFile, ...]
    evaluations: tuple[Evaluation, ...]
    num_parameters: int

    @property
    def final(self) -> Evaluation:
        """That of the final model."""
        return self.evaluations[-1]

    @property
    def by_stage(self) -> Mapping[str, Evaluation]:
        """The evaluations by the stage of their models."""
        return {one.result.stage: one for one in self.evaluations}

    def result(self) -> EvaluationResult:
        """The record of the evaluation."""
        return EvaluationResult(
            dataset=self.config.data.dataset,
            split=self.config.evaluation.split,
            num_examples=len(self.split),
            seed=self.config.seed,
            settings=plain_json(self.config.evaluation),
            data_digest=self.data.fingerprint.digest,
            versions=versions(),
            models=tuple(
                dataclasses.replace(found.result, model_sha256=file_digest(file.path))
                for file, found in zip(self.files, self.evaluations, strict=True)
            ),
        )


def versions() -> dict[str, str]:
    """Of this program and of the libraries that compute."""
    return {
        "python": platform.python_version(),
        "supcon_tf": __version__,
        **{name: version(name) for name in PACKAGES},
    }
