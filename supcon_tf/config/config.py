"""All that a run needs to know, in frozen dataclasses that are validated once.

Each field carries its help text and its allowed values (`supcon_tf.config.options`), so
that the command line, the error messages and this file can't drift apart.
"""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from supcon_tf.config.options import from_json, option, options_of, validate_options
from supcon_tf.errors import UserError

ATTACKS = (
    "fgsm",
    "pgd",
    "pgd_cw",
    "pgd_dlr",
    "noise",
    "transfer",
    "square",
    "apgd_ce",
    "apgd_t",
    "fab_t",
    "square_5000",
    "autoattack",
)
# Attacks of earlier versions, which a run folder may still name.
_RETIRED_ATTACKS = ("autoattack_art",)
STAGES = ("pretrain", "finetune")


class Section:
    """A part of a config, which validates itself.

    Raises:
        UserError: on construction, if a value is not allowed or two contradict.
    """

    def __post_init__(self) -> None:
        validate_options(self)


@dataclass(frozen=True)
class DataConfig(Section):
    """Which images, and how they are divided. Nothing is ever tuned on test."""

    dataset: str = option(
        "digits",
        "digits (bundled with scikit-learn), folder (own images below --data_dir: "
        "train/CLASS/*.jpg|png|... and, if there, val/CLASS/... and test/CLASS/...), "
        "or the name of any classification data set of tensorflow-datasets, such as "
        "cifar100",
    )
    data_dir: str = option(
        "",
        "folder of the images, or of tensorflow-datasets' prepared data (its own "
        "default if empty)",
        changes="nothing",
        path=True,
    )
    image_size: int = option(
        0,
        "height and width in pixels that images are resized to; 0 keeps the size of "
        "the data set (digits: 32), which must then be one size",
        minimum=0,
        maximum=1024,
    )
    crop_to_aspect_ratio: bool = option(
        False,
        "with --image_size: resize the middle square of an image, so that it keeps its "
        "proportions, instead of the whole image",
    )
    limit_train: int = option(
        0,
        "use this many training images, class-balanced and seeded, counted before the "
        "validation share is taken; 0 = all",
        minimum=0,
    )
    limit_test: int = option(
        0, "use this many test images, class-balanced and seeded; 0 = all", minimum=0
    )
    validation_share: float = option(
        0.1,
        "where the data comes without validation images, share of the training images "
        "held out for validation",
        minimum=0,
        below=1,
    )
    test_share: float = option(
        0.2,
        "share held out for test where the data comes without a test split; of a "
        "folder's images by a hash of each name, so that it is met on average",
        above=0,
        below=1,
    )
    split_seed: int = option(
        0,
        "seed of every choice of images (limits, validation, held-out test); separate "
        "from --seed, so that runs that differ by seed share their test images",
        minimum=0,
    )
    cache_gib: float = option(
        4.0,
        "decoded images are kept in memory up to this size (GiB); above it they stay "
        "encoded and are decoded when they are used",
        minimum=0,
        changes="nothing",
    )
    skip_bad_images: bool = option(
        False,
        "leave out images that can't be decoded, and say which, instead of refusing "
        "them",
        changes="nothing",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.dataset:
            raise UserError("--dataset must not be empty. Received: ''")
        if self.dataset == "folder" and not self.data_dir:
            raise UserError(
                "--dataset=folder needs --data_dir. Received: --data_dir=''"
            )


@dataclass(frozen=True)
class ModelConfig(Section):
    """The network: ResNet-18, projection head, classifier."""

    width: int = option(
        64,
        "channels of the first stage of ResNet-18 (64 is the standard network)",
        minimum=1,
        maximum=1024,
    )
    stem: str = option(
        "small",
        "small: 3x3 convolution, no pooling (images up to 64 pixels); imagenet: 7x7 "
        "convolution of stride 2 and max-pooling",
        choices=("small", "imagenet"),
    )
    projection_dim: int = option(
        128, "dimension of the projection head's output", minimum=1
    )
    contrastive_input: str = option(
        "features",
        "what the contrastive losses act on",
        choices=("features", "projection"),
    )
    classifier_input: str = option(
        "features", "what the classifier reads", choices=("features", "projection")
    )


@dataclass(frozen=True)
class LossConfig(Section):
    """Constants of the losses; their weights belong to the stages."""

    temperature: float = option(
        0.1, "temperature of the supervised contrastive loss", above=0
    )
    supcon_variant: str = option(
        "out",
        "supervised contrastive loss with the sum over positives outside or inside "
        "the logarithm",
        choices=("out", "in"),
    )
    positive_margin: float = option(
        0.8,
        "cosine that pairs of one class are pulled above by the margin loss",
        minimum=-1,
        maximum=1,
    )
    negative_margin: float = option(
        0.2,
        "cosine that pairs of two classes are pushed below by the margin loss",
        minimum=-1,
        maximum=1,
    )
    hinge_margin: float = option(
        1.0, "margin of the multiclass hinge loss, in logit units", above=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positive_margin <= self.negative_margin:
            raise UserError(
                "--positive_margin must be above --negative_margin. "
                f"Received: {self.positive_margin} and {self.negative_margin}"
            )


@dataclass(frozen=True)
class StageConfig(Section):
    """One stage of training. A stage with 0 epochs is skipped."""

    epochs: int = option(10, "epochs of this stage; 0 skips it", minimum=0)
    learning_rate: float = option(0.1, "peak learning rate of this stage", above=0)
    warmup_epochs: float = option(
        1.0, "epochs until the peak learning rate; cut to the stage", minimum=0
    )
    schedule: str = option(
        "cosine",
        "learning rate after warm-up: constant, cosine (to 0), one_cycle (from 1/25 "
        "of the peak, then to 0), or continue (finetune only: one schedule over both "
        "stages, with the peak, warm-up and form of pretrain)",
        choices=("constant", "cosine", "one_cycle", "continue"),
    )
    augmentation: str = option(
        "crop_flip",
        "how training images are varied",
        choices=("none", "crop_flip", "resized_crop", "simclr", "randaugment"),
    )
    views: int = option(
        1, "augmented views of each image in a batch", minimum=1, maximum=2
    )
    cross_entropy_weight: float = option(1.0, "weight of cross-entropy", minimum=0)
    supcon_weight: float = option(
        0.0, "weight of the supervised contrastive loss", minimum=0
    )
    margin_weight: float = option(
        0.0, "weight of the margin contrastive loss", minimum=0
    )
    hinge_weight: float = option(
        0.0, "weight of the multiclass hinge loss on the logits", minimum=0
    )
    freeze_encoder: bool = option(
        False, "train the heads only, on the encoder's fixed features"
    )
    label_smoothing: float = option(
        0.0,
        "share of each label that cross-entropy spreads evenly over all classes",
        minimum=0,
        below=1,
    )
    adversary: str = option(
        "none",
        "attack whose images this stage trains on: nfgsm and zerograd take one "
        "gradient a step, pgd takes --adversary_steps",
        choices=("none", "nfgsm", "zerograd", "pgd"),
    )
    contrastive_views: str = option(
        "both",
        "with an adversary, what the contrastive losses act on: both = the noisy start "
        "and the adversarial image, adversarial = that alone, clean = the unperturbed "
        "and the adversarial image",
        choices=("both", "adversarial", "clean"),
    )

    @property
    def loss_weights(self) -> dict[str, float]:
        """The loss parts of this stage that have a weight, by name."""
        parts = ("cross_entropy", "supcon", "margin", "hinge")
        weights = {part: float(getattr(self, f"{part}_weight")) for part in parts}
        return {part: weight for part, weight in weights.items() if weight > 0}


@dataclass(frozen=True)
class AdversaryConfig(Section):
    """The attack that is trained against, in every stage that has one."""

    adversary_epsilon: float = option(
        8.0,
        "radius of the attack that is trained against (L-inf, in 1/255 of the [0,1] "
        "pixel range)",
        above=0,
        maximum=255,
    )
    adversary_steps: int = option(2, "steps of --pretrain_adversary=pgd", minimum=1)


@dataclass(frozen=True)
class EvaluationConfig(Section):
    """How the trained models are attacked."""

    attacks: tuple[str, ...] = option(
        ("fgsm",),
        "attacks, separated by commas",
        choices=ATTACKS,
        changes="evaluation",
    )
    epsilons: tuple[float, ...] = option(
        (1.0, 2.0, 4.0, 8.0),
        "attack strengths, separated by commas: for --norm=linf in 1/255 of the [0,1] "
        "pixel range (8 means 8/255), for --norm=l2 in [0,1] pixel units",
        above=0,
        maximum=255,
        changes="evaluation",
    )
    norm: str = option(
        "linf",
        "norm of the perturbation",
        choices=("linf", "l2"),
        changes="evaluation",
    )
    pgd_steps: int = option(20, "steps of PGD", minimum=1, changes="evaluation")
    pgd_restarts: int = option(
        1, "random restarts of PGD", minimum=1, changes="evaluation"
    )
    transfer_from: str = option(
        "",
        "run folder whose model makes the images of the transfer attack",
        changes="evaluation",
        path=True,
    )
    checks_limit: int = option(
        512,
        "images of the masking checks (class-balanced, seeded), of which the "
        "iterative comparisons use a quarter, at least 100; 0 leaves them out",
        minimum=0,
        changes="evaluation",
    )
    split: str = option(
        "test",
        "images that are attacked",
        choices=("test", "validation"),
        changes="evaluation",
    )
    limit: int = option(
        0,
        "attack this many images (class-balanced, seeded); 0 = all",
        minimum=0,
        changes="evaluation",
    )


@dataclass(frozen=True)
class ProjectorConfig(Section):
    """TensorBoard's embedding projector."""

    projector_every: int = option(
        0,
        "epochs between projector snapshots within a stage; 0 = at its end only; a "
        "snapshot takes about 6 MB for 500 images with 512 features",
        minimum=0,
        changes="nothing",
    )
    projector_images: int = option(
        500,
        "test images in a projector snapshot (class-balanced, seeded), 2 or more; "
        "0 = none",
        minimum=0,
        changes="nothing",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.projector_images == 1:
            raise UserError("--projector_images must be 0 or at least 2. Received: 1")


@dataclass(frozen=True)
class Config(Section):
    """A whole run."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    pretrain: StageConfig = StageConfig(supcon_weight=1.0)
    finetune: StageConfig = StageConfig(epochs=5, learning_rate=0.02, margin_weight=1.0)
    adversary: AdversaryConfig = AdversaryConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    projector: ProjectorConfig = ProjectorConfig()
    init_from: str = option(
        "", "run folder whose pretrained model is the starting point", path=True
    )
    seed: int = option(
        0, "seed of weights, data order and augmentation", minimum=0, maximum=2**31 - 1
    )
    deterministic: bool = option(
        False, "the same bits from the same seed, at some cost in speed"
    )
    dtype_policy: str = option(
        "float32",
        "arithmetic of training; evaluation is always float32 or better",
        choices=("float32", "float64", "mixed_bfloat16", "mixed_float16"),
    )
    batch_size: int = option(
        128, "images (not views) in a global batch, over all replicas", minimum=1
    )
    classes_per_batch: int = option(
        0, "classes drawn for each batch; 0 = plain shuffling", minimum=0
    )
    momentum: float = option(0.9, "Nesterov momentum of SGD", minimum=0, below=1)
    weight_decay: float = option(
        5e-4, "L2 added to the gradient, on kernels only", minimum=0
    )
    ema_decay: float = option(
        0.0,
        "keep a running average of all weights, min(this, (1 + t) / (10 + t)) of which "
        "stays at step t; each stage's model is then the average; 0 = off",
        minimum=0,
        below=1,
    )
    checkpoint_steps: int = option(
        1000,
        "steps between checkpoints within an epoch, besides the one at its end; "
        "0 = at its end only",
        minimum=0,
        changes="nothing",
    )
    strategy: str = option(
        "auto",
        "auto: mirrored with two or more accelerators, else none; mirrored: all "
        "accelerators of this machine; multi_worker: those of several machines, each "
        "of which runs this command, in a cluster that TF_CONFIG or SLURM describes",
        choices=("auto", "none", "mirrored", "multi_worker"),
        changes="nothing",
    )
    worker_timeout: float = option(
        300.0,
        "seconds that --strategy=multi_worker waits for the other workers to start",
        above=0,
        changes="nothing",
    )
    virtual_devices: int = option(
        0,
        "split the CPU into this many devices, to try --strategy=mirrored anywhere; "
        "0 = leave it whole",
        minimum=0,
        maximum=16,
        changes="nothing",
    )
    log_format: str = option(
        "text",
        "what is printed for each epoch: text for people, json for machines",
        choices=("text", "json"),
        changes="nothing",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_across_fields(self)

    def sections(self) -> Iterator[tuple[str, Any]]:
        """The parts that hold options, each with the prefix of its flags."""
        yield "", self
        for name in _SECTIONS:
            prefix = f"{name}_" if name in STAGES else ""
            yield prefix, getattr(self, name)

    def stages(self) -> Iterator[tuple[str, StageConfig]]:
        """Name and settings of each stage that is not skipped, in order."""
        for name in STAGES:
            if getattr(self, name).epochs:
                yield name, getattr(self, name)

    def classifier_trained(self, stage: str) -> bool:
        """Whether the classifier has learned anything by the end of a stage."""
        parts: set[str] = set()
        for name, settings in self.stages():
            parts |= settings.loss_weights.keys()
            if name == stage:
                break
        return bool(parts & {"cross_entropy", "hinge"})

    def flag_values(self) -> dict[str, Any]:
        """Every option by the name of its flag."""
        return {
            prefix + field.name: getattr(section, field.name)
            for prefix, section in self.sections()
            for field, _ in options_of(section)
        }

    @classmethod
    def from_flag_values(cls, values: dict[str, Any]) -> "Config":
        """The config of options named as their flags; what is absent stays default."""
        default = cls()
        sections = {}
        for name in _SECTIONS:
            prefix = f"{name}_" if name in STAGES else ""
            section = getattr(default, name)
            given = _picked(section, prefix, values)
            sections[name] = _replaced(section, given, prefix)
        return cls(**sections, **_picked(default, "", values))

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """Reads what `to_json` wrote; what is absent stays default.

        Raises:
            UserError: if it is no JSON, or has a key that no config has.
        """
        try:
            default, values = cls(), json.loads(text)
            if "evaluation" in values:
                values["evaluation"] = without_retired_attacks(values["evaluation"])
            top = {k: v for k, v in values.items() if k not in _SECTIONS}
            for name in _SECTIONS:
                given = from_json(values.get(name, {}))
                prefix = f"{name}_" if name in STAGES else ""
                top[name] = _replaced(getattr(default, name), given, prefix)
            return cls(**top)
        except (json.JSONDecodeError, TypeError, AttributeError) as error:
            raise UserError(f"this is not a config: {error}") from error

    def weight_fields(self) -> dict[str, Any]:
        """The flags that change what training gives, with their values."""
        return {
            prefix + field.name: getattr(section, field.name)
            for prefix, section in self.sections()
            for field, allowed in options_of(section)
            if allowed.changes == "weights"
        }

    def changed_weight_fields(self, other: "Config") -> list[str]:
        """Flags that differ between two configs and change what training gives."""
        theirs = other.weight_fields()
        return [n for n, value in self.weight_fields().items() if value != theirs[n]]


_SECTIONS = tuple(
    field.name
    for field in dataclasses.fields(Config)
    if dataclasses.is_dataclass(field.default)
)


def without_retired_attacks(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Evaluation settings read from a file, without attacks that are no more."""
    named = evaluation.get("attacks")
    if not isinstance(named, list) or not set(_RETIRED_ATTACKS) & set(named):
        return evaluation
    left = [name for name in named if name not in _RETIRED_ATTACKS]
    return {**evaluation, "attacks": left or list(EvaluationConfig().attacks)}


def _picked(section: Any, prefix: str, values: dict[str, Any]) -> dict[str, Any]:
    names = (field.name for field, _ in options_of(section))
    return {name: values[prefix + name] for name in names if prefix + name in values}


def _replaced(section: Any, values: dict[str, Any], prefix: str) -> Any:
    """The section with other values; an error names the flag with its stage."""
    validate_options(section, prefix, values)
    return dataclasses.replace(section, **values)


def _check_across_fields(config: Config) -> None:
    classes = config.classes_per_batch
    if classes and config.batch_size % classes:
        raise UserError(
            "--classes_per_batch must divide --batch_size evenly. "
            f"Received: {classes} and {config.batch_size}"
        )
    if config.pretrain.schedule == "continue":
        raise UserError(
            "--pretrain_schedule must be one of constant, cosine, one_cycle. "
            "Received: 'continue'"
        )
    if config.pretrain.epochs + config.finetune.epochs == 0:
        raise UserError(
            "--pretrain_epochs or --finetune_epochs must be above 0. Received: 0 and 0"
        )
    if "transfer" in config.evaluation.attacks and not config.evaluation.transfer_from:
        raise UserError(
            "--attacks=transfer needs --transfer_from=RUN_FOLDER. "
            "Received: --transfer_from=''"
        )
    if config.strategy == "multi_worker" and config.virtual_devices:
        raise UserError(
            "--virtual_devices must be 0 with --strategy=multi_worker, which uses one "
            f"CPU on each machine. Received: {config.virtual_devices}"
        )
    for name in STAGES:
        _check_stage(name, getattr(config, name), config.model)
        _check_adversary(name, getattr(config, name))


def _check_stage(name: str, stage: StageConfig, model: ModelConfig) -> None:
    if stage.epochs == 0:
        return
    weights = stage.loss_weights
    if not weights:
        raise UserError(
            f"--{name}_cross_entropy_weight, --{name}_supcon_weight, "
            f"--{name}_margin_weight or --{name}_hinge_weight must be above 0. "
            "Received: all 0"
        )
    contrastive = [part for part in ("supcon", "margin") if part in weights]
    # On frozen features only the projection head, if they act on it, can still learn.
    if stage.freeze_encoder and contrastive and model.contrastive_input == "features":
        raise UserError(
            f"--{name}_freeze_encoder leaves --{name}_{contrastive[0]}_weight nothing "
            f"to train (--contrastive_input=features). "
            f"Received: True and {weights[contrastive[0]]:g}"
        )


def _check_adversary(name: str, stage: StageConfig) -> None:
    if stage.epochs == 0 or stage.adversary == "none":
        return
    if not {"cross_entropy", "hinge"} & stage.loss_weights.keys():
        raise UserError(
            f"--{name}_adversary follows the classifier, which needs "
            f"--{name}_cross_entropy_weight or --{name}_hinge_weight above 0. "
            f"Received: {stage.adversary} and both 0"
        )
