"""The record of an evaluation, robustness.json, as frozen dataclasses.

The order of the fields is that of the keys in the file.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from supcon_tf.config import EvaluationConfig, without_retired_attacks
from supcon_tf.config.options import from_json
from supcon_tf.errors import UserError
from supcon_tf.results.strength import Measured
from supcon_tf.results.typed_json import Json, left_out_if_none, plain_json, read_as

# The second adds which model was attacked.
SCHEMAS = (1, 2)


@dataclass(frozen=True)
class CumulativeStep:
    """The accuracy after one of the attacks that an attack is made of, in turn."""

    attack: str
    accuracy: float


@dataclass(frozen=True)
class AttackRow(Measured):
    """The accuracy of a model under one attack.

    Args:
        name: of the attack on the command line.
        norm: "linf" or "l2".
        epsilon: the radius in [0,1] pixel units.
        epsilon_255: the same in 1/255 for linf; None for l2.
        accuracy: share of all images that are classified correctly under it.
        interval_95: bounds of the accuracy's 95 % interval.
        num_examples: how many images there are.
        parameters: what else the attack was made with.
        seconds: that it took.
        cumulative: of an attack that is made of several, the accuracy after each.
    """

    name: str
    norm: str
    epsilon: float
    epsilon_255: float | None
    accuracy: float
    interval_95: tuple[float, float]
    num_examples: int
    parameters: Mapping[str, Json]
    seconds: float
    cumulative: tuple[CumulativeStep, ...] | None = left_out_if_none()

    @property
    def members(self) -> list[Mapping[str, Json]]:
        """Parameters of the attacks that it is made of, if there are several."""
        members = self.parameters.get("members")
        if not isinstance(members, list):
            return []
        return [member for member in members if isinstance(member, Mapping)]


@dataclass(frozen=True)
class WorstRow(Measured):
    """The accuracy of a model under all attacks of a strength together."""

    norm: str
    epsilon: float
    epsilon_255: float | None
    accuracy: float
    interval_95: tuple[float, float]
    num_examples: int
    attacks: tuple[str, ...]


@dataclass(frozen=True)
class EmbeddingFigures:
    """How well an embedding separates the classes; None where it wasn't measured.

    Accuracies and cosines are as they are, margins in units of the space that the
    classifier reads, relative margins in lengths of the image's vector there.
    """

    knn_accuracy: float | None = None
    knn_neighbours: int | None = None
    knn_train_examples: int | None = None
    intra_class_cosine: float | None = None
    inter_class_cosine: float | None = None
    margin_mean: float | None = None
    margin_median: float | None = None
    margin_std: float | None = None
    relative_margin_mean: float | None = None
    relative_margin_median: float | None = None
    relative_margin_std: float | None = None
    linear_probe_accuracy: float | None = left_out_if_none()


@dataclass(frozen=True)
class CheckRow:
    """A masking check.

    Args:
        name: of the check.
        passed: None if it does not apply.
        value: it passes if that is at most `threshold`; None if it does not apply.
        threshold: what is allowed.
        detail: one sentence.
    """

    name: str
    passed: bool | None
    value: float | None = None
    threshold: float | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """What was found out about one model of a run.

    Args:
        stage: "pretrain" or "final".
        model_sha256: digest of its file; None in schema 1.
        clean_accuracy: without an attack; None if the classifier is untrained.
        attacks: None if the classifier is untrained.
        worst: the same together; None also in files of before it was measured.
        embedding: its figures.
        checks: for masked gradients; None if they were not for this model.
    """

    stage: str
    model_sha256: str | None = left_out_if_none()
    clean_accuracy: float | None
    attacks: tuple[AttackRow, ...] | None
    worst: tuple[WorstRow, ...] | None = None
    embedding: EmbeddingFigures = EmbeddingFigures()
    checks: tuple[CheckRow, ...] | None = None

    @property
    def failed_checks(self) -> tuple[CheckRow, ...]:
        """Those that failed; what does not apply is not among them."""
        return tuple(check for check in self.checks or () if check.passed is False)


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """What robustness.json holds.

    Args:
        schema: 1 or 2.
        dataset: its name on the command line.
        split: "test" or "validation".
        num_examples: how many images were attacked.
        seed: of the run and of the attacks.
        settings: the options of the evaluation as JSON has them; None in files of
            before they were written down (see `made_with`).
        data_digest: of the images; None in schema 1.
        versions: of the libraries.
        models: by stage, one at least, the final one last.

    Raises:
        UserError: on construction, if the schema is another or there is no model.
    """

    schema: int = SCHEMAS[-1]
    dataset: str
    split: str
    num_examples: int
    seed: int
    settings: Mapping[str, Json] | None = left_out_if_none()
    data_digest: str | None = left_out_if_none()
    versions: Mapping[str, str]
    models: tuple[ModelResult, ...]

    def __post_init__(self) -> None:
        if self.schema not in SCHEMAS:
            raise UserError(f"it must be of schema 1 or 2. Received: {self.schema!r}")
        if not self.models:
            raise UserError("models must not be empty. Received: []")

    @property
    def final(self) -> ModelResult:
        """The model that a run ends with."""
        return self.models[-1]

    def of_stage(self, stage: str) -> ModelResult | None:
        """The model of a stage; None if it was not evaluated."""
        return next((model for model in self.models if model.stage == stage), None)

    def made_with(self, default: EvaluationConfig | None = None) -> EvaluationConfig:
        """The options that it was made with, but for attacks that are no more.

        Args:
            default: what the file does not say is as here.

        Raises:
            UserError: if there are options that no evaluation has.
        """
        recorded = from_json(without_retired_attacks(dict(self.settings or {})))
        try:
            return dataclasses.replace(default or EvaluationConfig(), **recorded)
        except TypeError as error:
            raise UserError(f"settings are not those of an evaluation: {error}") from (
                error
            )

    def to_json(self) -> str:
        """The text of robustness.json."""
        return json.dumps(plain_json(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "EvaluationResult":
        """Reads what `to_json` wrote, or an earlier version.

        Raises:
            UserError: saying what is wrong with the text.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"it must be JSON: {error}") from error
        if isinstance(values, dict):
            # A file of another schema may be of another form altogether.
            schema = values.get("schema")
            if schema not in SCHEMAS:
                raise UserError(f"it must be of schema 1 or 2. Received: {schema!r}")
        return read_as(cls, values)


def read_result(path: Path) -> EvaluationResult:
    """Reads a robustness.json.

    Raises:
        UserError: naming the file and what is wrong with it.
    """
    try:
        return EvaluationResult.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is not an evaluation of this program ({error})"
        ) from error
