"""The network of a run."""

from dataclasses import dataclass

from supcon_tf.config.options import Section, option


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
