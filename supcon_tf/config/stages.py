"""What a stage of training does, and the constants that all stages share."""

from dataclasses import dataclass

from supcon_tf.config.options import Section, option
from supcon_tf.errors import UserError

# What each part of the loss acts on; its weight is the field NAME_weight of a stage.
LOSSES = {
    "cross_entropy": "logits",
    "supcon": "embeddings",
    "margin": "embeddings",
    "hinge": "logits",
}


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
        "of the peak, then to 0), or continue (not the first stage: one schedule over "
        "this stage and the one before, with the peak, warm-up and form of that)",
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
        weights = {part: float(getattr(self, f"{part}_weight")) for part in LOSSES}
        return {part: weight for part, weight in weights.items() if weight > 0}

    def losses_on(self, what: str) -> list[str]:
        """The loss parts that have a weight and act on "logits" or "embeddings"."""
        return [part for part in self.loss_weights if LOSSES[part] == what]


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
