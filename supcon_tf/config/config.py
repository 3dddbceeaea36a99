"""All that a run needs to know, in frozen dataclasses that are validated once.

Each field carries its help text and its allowed values (`supcon_tf.config.options`), so
that the command line, the error messages and this file can't drift apart.
"""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from supcon_tf.config.data import DataConfig
from supcon_tf.config.evaluation import EvaluationConfig, without_retired_attacks
from supcon_tf.config.model import ModelConfig
from supcon_tf.config.options import (
    Section,
    Setting,
    from_json,
    options_of,
    validate_options,
)
from supcon_tf.config.rules import check_across_sections
from supcon_tf.config.run import DevicesConfig, ProjectorConfig, TrainingConfig
from supcon_tf.config.stages import AdversaryConfig, LossConfig, StageConfig
from supcon_tf.errors import UserError

# The name of a run's last model; the others have the names of their stages.
FINAL = "final"


@dataclass(frozen=True)
class SharedSchedule:
    """One learning-rate schedule, over a stage and those that continue it.

    Args:
        leader: the stage whose peak, warm-up and form it has.
        first_epoch: where on it the stage in question begins.
        epochs: of all its stages.
        stages: how many of them are not skipped.
    """

    leader: str
    first_epoch: int
    epochs: int
    stages: int


@dataclass(frozen=True)
class Config(DevicesConfig, TrainingConfig):
    """A whole run.

    What holds for all of it is a field of its own (`config.seed`), the rest lies in
    sections (`config.model.width`). Each field that is a `StageConfig` is a stage of
    training: its name is the prefix of its flags, and the stages are trained in the
    order in which they stand here. One that is added has 0 epochs by default: what
    runs of before it have in their config.json must stay what they did.
    """

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    pretrain: StageConfig = StageConfig(supcon_weight=1.0)
    finetune: StageConfig = StageConfig(epochs=5, learning_rate=0.02, margin_weight=1.0)
    adversary: AdversaryConfig = AdversaryConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    projector: ProjectorConfig = ProjectorConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_across_sections(self)

    @classmethod
    def section_defaults(cls) -> dict[str, Section]:
        """The sections by name, as they are by default."""
        fields = dataclasses.fields(cls)
        return {f.name: f.default for f in fields if isinstance(f.default, Section)}

    @classmethod
    def stage_names(cls) -> tuple[str, ...]:
        """All stages in the order of training, also those that a run may skip."""
        sections = cls.section_defaults().items()
        return tuple(name for name, part in sections if isinstance(part, StageConfig))

    @classmethod
    def model_names(cls) -> tuple[str, ...]:
        """What a model of a run may be called: final, or as the stage it is of."""
        return (FINAL, *cls.stage_names()[:-1])

    def sections(self) -> Iterator[tuple[str, Any]]:
        """The parts that hold options, each with the prefix of its flags."""
        yield "", self
        for name in self.section_defaults():
            yield self._prefix(name), getattr(self, name)

    def options(self) -> Iterator[Setting]:
        """Every option, with the name of its flag, its value and what it allows."""
        for prefix, section in self.sections():
            for field, allowed in options_of(section):
                value = getattr(section, field.name)
                yield Setting(prefix + field.name, value, allowed)

    def stages(self) -> Iterator[tuple[str, StageConfig]]:
        """Name and settings of each stage that is not skipped, in order."""
        for name in self.stage_names():
            if self.stage(name).epochs:
                yield name, self.stage(name)

    def stage(self, name: str) -> StageConfig:
        """The settings of a stage."""
        return getattr(self, name)

    def models(self) -> dict[str, str]:
        """The models that a run ends with, and the stage that each is of."""
        *earlier, last = (name for name, _ in self.stages())
        return {**{name: name for name in earlier}, FINAL: last}

    def epochs_before(self, stage: str) -> int:
        """Epochs of the stages that come before a stage."""
        names = self.stage_names()
        return sum(self.stage(name).epochs for name in names[: names.index(stage)])

    def schedule_of(self, stage: str) -> SharedSchedule:
        """The schedule of a stage, which others may have a part in."""
        groups: list[list[str]] = []
        for name in self.stage_names():
            if self.stage(name).schedule == "continue":
                groups[-1].append(name)
            else:
                groups.append([name])
        group = next(group for group in groups if stage in group)
        epochs = [self.stage(name).epochs for name in group]
        return SharedSchedule(
            leader=group[0],
            first_epoch=sum(epochs[: group.index(stage)]),
            epochs=sum(epochs),
            stages=sum(map(bool, epochs)),
        )

    def classifier_trained(self, model: str) -> bool:
        """Whether the classifier has learned anything by the end of a stage."""
        last = self.models().get(model, model)
        for name, settings in self.stages():
            if settings.losses_on("logits"):
                return True
            if name == last:
                break
        return False

    def flag_values(self) -> dict[str, Any]:
        """Every option by the name of its flag."""
        return {flag: value for flag, value, _ in self.options()}

    def weight_fields(self) -> dict[str, Any]:
        """The flags that change what training gives, with their values."""
        return {
            flag: value
            for flag, value, allowed in self.options()
            if allowed.changes == "weights"
        }

    def changed_weight_fields(self, other: "Config") -> list[str]:
        """Flags that differ between two configs and change what training gives."""
        theirs = other.weight_fields()
        return [n for n, value in self.weight_fields().items() if value != theirs[n]]

    def trains_alike(self, other: "Config", stage: str) -> bool:
        """Whether a stage's model depends on nothing that differs from another config.

        All flags must be the same, but those of later stages and of the evaluation.
        """
        return self._until(stage) == other._until(stage)

    def _until(self, stage: str) -> tuple[dict[str, Any], SharedSchedule]:
        names = self.stage_names()
        later = tuple(map(self._prefix, names[names.index(stage) + 1 :]))
        flags = {
            flag: value
            for flag, value, allowed in self.options()
            if allowed.changes != "evaluation" and not flag.startswith(later)
        }
        # A later stage may have a part in its schedule.
        return flags, self.schedule_of(stage)

    @classmethod
    def from_flag_values(cls, values: dict[str, Any]) -> Self:
        """The config of options named as their flags; what is absent stays default."""
        sections: dict[str, Any] = {}
        for name, section in cls.section_defaults().items():
            prefix = cls._prefix(name)
            sections[name] = _replaced(
                section, _picked(section, prefix, values), prefix
            )
        return cls(**sections, **_picked(cls, "", values))

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote; what is absent stays default.

        Raises:
            UserError: if it is no JSON, or has a key that no config has.
        """
        try:
            values = json.loads(text)
            if "evaluation" in values:
                values["evaluation"] = without_retired_attacks(values["evaluation"])
            sections: dict[str, Any] = {}
            for name, section in cls.section_defaults().items():
                given = from_json(values.pop(name, {}))
                sections[name] = _replaced(section, given, cls._prefix(name))
            return cls(**sections, **values)
        except (
            json.JSONDecodeError,
            RecursionError,
            TypeError,
            AttributeError,
        ) as error:
            raise UserError(f"this is not a config: {error}") from error

    @classmethod
    def _prefix(cls, section: str) -> str:
        """What the flags of a section begin with."""
        return f"{section}_" if section in cls.stage_names() else ""


def _picked(section: Any, prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    names = (field.name for field, _ in options_of(section))
    return {name: values[prefix + name] for name in names if prefix + name in values}


def _replaced(section: Any, values: dict[str, Any], prefix: str) -> Any:
    """The section with other values; an error names the flag with its stage."""
    validate_options(section, prefix, values)
    return dataclasses.replace(section, **values)
