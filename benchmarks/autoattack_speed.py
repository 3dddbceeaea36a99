"""The standard AutoAttack, end to end: ours against pyautoattack, the reference.

Both attack the same 200 images and the same weights, of a ResNet-18 of width 16 that
was trained on adversarial images of digits: ours with batch norm folded as in the
evaluation, the reference in a PyTorch twin. One turn each: it takes minutes.

    python -m benchmarks.autoattack_speed
"""

import os
import sys
from typing import Any

from benchmarks.measure import Row, alternating, speed_row, table
from supcon_tf.runtime.environment import prepare_environment

IMAGES, WIDTH, SIZE, EPSILON = 200, 16, 16, 24 / 255
TRAINING_STEPS, BATCH_SIZE = 300, 64
GOAL = 2


def rows() -> list[Row]:
    """One row; none if PyTorch or the reference is not installed."""
    try:
        import torch
        from pyautoattack import AutoAttack as Reference
    except ImportError as error:
        print(f"{error.name} is not installed", file=sys.stderr)
        return []
    import numpy as np

    from supcon_tf.attacks import AutoAttack, Target
    from supcon_tf.evaluation.attacked_model import for_attacks

    torch.set_num_threads(os.cpu_count() or 1)
    model, images, labels = _robust_model()
    twin = _twin(model)
    _check_twin(model, twin, images)
    target = Target(for_attacks(model), images)
    attack = AutoAttack(epsilon=EPSILON)
    reference = Reference(twin, eps=EPSILON, norm="Linf", seed=0, device="cpu")
    reference.verbose = False
    given = _channels_first(images), torch.tensor(labels)
    stands: dict[str, Any] = {}

    def ours() -> None:
        stands["ours"] = attack.survivors(target, images, labels, batch_size=IMAGES)

    def theirs() -> None:
        made = reference.run_standard_evaluation(*given, batch_size=IMAGES)[0]
        with torch.no_grad():
            stands["theirs"] = twin(made).argmax(dim=1).numpy() == labels

    peer = "pyautoattack"
    seconds = alternating({"ours": ours, peer: theirs}, turns=1, warmup=0)
    apart = int(np.sum(stands["ours"] != stands["theirs"]))
    note = (
        f"digits of {SIZE} pixels, epsilon {255 * EPSILON:g}/255; accuracy "
        f"{stands['ours'].mean():.1%} and {stands['theirs'].mean():.1%}, "
        f"{apart} of {IMAGES} images apart; one turn"
    )
    what = f"standard AutoAttack against {peer}, ResNet-18 of width {WIDTH}"
    return [speed_row(what, seconds, peer, IMAGES, goal=GOAL, note=note)]


def _robust_model() -> tuple[Any, Any, Any]:
    """A model trained on FGSM images from random starts, test images and labels."""
    import keras
    import numpy as np
    import tensorflow as tf

    from supcon_tf.config import Config
    from supcon_tf.data import load
    from supcon_tf.data.splits import balanced_sample
    from supcon_tf.models.build import build_classifier

    config = Config.from_flag_values(
        {"dataset": "digits", "image_size": SIZE, "width": WIDTH}
    )
    data = load(config.data)
    keras.utils.set_random_seed(0)
    mean, std = data.channel_statistics()
    model = build_classifier(
        config.model, data.image_shape, data.class_names, mean, std
    )
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True)

    def loss_of(images: Any, labels: Any, training: bool) -> Any:
        logits = model(images, training=training)
        return tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        )

    @tf.function(reduce_retracing=True)
    def step(images: Any, labels: Any, radius: Any) -> None:
        noise = tf.random.uniform(tf.shape(images), -radius, radius)
        start = images + noise
        with tf.GradientTape() as tape:
            tape.watch(start)
            loss = loss_of(start, labels, training=False)
        moved = noise + 1.25 * radius * tf.sign(tape.gradient(loss, start))
        moved = tf.clip_by_value(moved, -radius, radius)
        adversarial = tf.clip_by_value(images + moved, 0.0, 1.0)
        with tf.GradientTape() as tape:
            loss = loss_of(adversarial, labels, training=True)
        variables = model.trainable_variables
        optimizer.apply_gradients(
            zip(tape.gradient(loss, variables), variables, strict=True)
        )

    rng = np.random.default_rng(0)
    for number in range(TRAINING_STEPS):
        chosen = rng.choice(len(data.train), BATCH_SIZE, replace=False)
        images = data.train.images[chosen].astype(np.float32) / 255
        # From nothing on: at full strength at once it learns one answer for all.
        radius = EPSILON * min(1, 2 * number / TRAINING_STEPS)
        step(
            tf.constant(images),
            tf.constant(data.train.labels[chosen]),
            tf.constant(radius, tf.float32),
        )
    chosen = balanced_sample(data.test.labels, IMAGES, seed=0)
    images = data.test.images[chosen].astype(np.float32) / 255
    return model, images, data.test.labels[chosen]


def _twin(model: Any) -> Any:
    """The same network and weights in PyTorch, from (N, C, H, W) to logits."""
    import numpy as np
    import torch
    from torch import nn

    from benchmarks.torch_resnet import ResNet18

    network = ResNet18(WIDTH, model.num_classes)
    layers = {layer.name: layer for layer in model.encoder.layers}

    def fill(pair: nn.Sequential, name: str) -> None:
        convolution, norm = pair
        kernel = layers[f"{name}_conv"].kernel.numpy().transpose(3, 2, 0, 1)
        convolution.weight.data = torch.tensor(np.ascontiguousarray(kernel))
        if convolution.stride[0] == 2 and kernel.shape[2] == 3:
            # TensorFlow pads an even image on two sides only.
            convolution.padding = (0, 0)
            pair.insert(0, nn.ZeroPad2d((0, 1, 0, 1)))
        own = layers[f"{name}_bn"]
        for theirs, ours in (
            (norm.weight, own.gamma),
            (norm.bias, own.beta),
            (norm.running_mean, own.moving_mean),
            (norm.running_var, own.moving_variance),
        ):
            theirs.data = torch.tensor(ours.numpy())

    stem, _, *blocks = network.encoder
    fill(stem, "stem")
    for number, block in enumerate(blocks):
        name = f"stage{number // 2 + 1}_block{number % 2 + 1}"
        fill(block.first, f"{name}_1")
        fill(block.second, f"{name}_2")
        if not isinstance(block.shortcut, nn.Identity):
            fill(block.shortcut, f"{name}_shortcut")
    kernel, bias = model.classifier.get_weights()
    network.classifier.weight.data = torch.tensor(np.ascontiguousarray(kernel.T))
    network.classifier.bias.data = torch.tensor(bias)
    normalization = layers["normalization"]
    mean, variance = (
        torch.tensor(np.asarray(moment, np.float32).reshape(1, -1, 1, 1))
        for moment in (normalization.mean, normalization.variance)
    )

    class Twin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network((images - mean) / variance.sqrt())[1]

    return Twin().eval()


def _check_twin(model: Any, twin: Any, images: Any) -> None:
    import numpy as np
    import torch

    ours = model(images, training=False).numpy()
    with torch.no_grad():
        theirs = twin(_channels_first(images)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def _channels_first(images: Any) -> Any:
    import numpy as np
    import torch

    return torch.tensor(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


if __name__ == "__main__":
    prepare_environment()
    print(table(rows()))
