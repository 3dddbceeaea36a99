"""What holds for a whole run: how it trains, where it computes, what it shows."""

from dataclasses import dataclass

from supcon_tf.config.options import Section, option
from supcon_tf.errors import UserError


@dataclass(frozen=True)
class TrainingConfig(Section):
    """How every stage is trained."""

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
    log_format: str = option(
        "text",
        "what is printed for each epoch: text for people, json for machines",
        choices=("text", "json"),
        changes="nothing",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        classes = self.classes_per_batch
        if classes and self.batch_size % classes:
            raise UserError(
                "--classes_per_batch must divide --batch_size evenly. "
                f"Received: {classes} and {self.batch_size}"
            )


@dataclass(frozen=True)
class DevicesConfig(Section):
    """What the run computes on. None of it changes what training gives."""

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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strategy == "multi_worker" and self.virtual_devices:
            raise UserError(
                "--virtual_devices must be 0 with --strategy=multi_worker, which uses "
                f"one CPU on each machine. Received: {self.virtual_devices}"
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
