import numpy as np
import pytest

from supcon_tf.models import ContrastiveClassifier, resnet18


def trainable_parameters(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def test_resnet18_for_cifar100_has_the_published_number_of_parameters():
    model = ContrastiveClassifier(resnet18(), num_classes=100)
    assert trainable_parameters(model) == 11_220_132


def test_imagenet_stem_has_the_published_number_of_parameters():
    model = ContrastiveClassifier(
        resnet18((224, 224, 3), stem="imagenet"), num_classes=1000
    )
    assert trainable_parameters(model) == 11_689_512


@pytest.mark.parametrize(
    ("stem", "size", "last"), [("small", 32, 4), ("imagenet", 224, 7)]
)
def test_last_feature_map_has_the_standard_size(stem, size, last):
    encoder = resnet18((size, size, 3), width=4, stem=stem)
    assert encoder.get_layer("stage4_block2_relu").output.shape[1:3] == (last, last)
    assert encoder.output_shape == (None, 32)


def test_images_are_normalised_by_channel_inside_the_network():
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)
    encoder = resnet18(width=4, mean=mean, std=std)
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    normalised = encoder.get_layer("normalization")(images)
    np.testing.assert_allclose(normalised, (images - mean) / std, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_small_perturbations_survive_normalisation_under_mixed_precision(policy):
    encoder = resnet18(width=4, dtype=policy)
    layer = encoder.get_layer("normalization")
    images = np.full((1, 32, 32, 3), 0.9, np.float32)
    moved = layer(images + np.float32(0.2 / 255)) - layer(images)
    np.testing.assert_allclose(moved, 0.2 / 255 / 0.25, rtol=1e-3)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_one_mean_serves_any_number_of_channels(channels):
    encoder = resnet18((8, 8, channels), width=1, mean=0.25, std=0.5)
    images = np.random.default_rng(0).random((2, 8, 8, channels), np.float32)
    normalised = encoder.get_layer("normalization")(images)
    np.testing.assert_allclose(normalised, (images - 0.25) / 0.5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stem": "large"}, "Received: 'large'"),
        ({"mean": (0.5, 0.5, 0.5)}, "`mean` must be one .* 1 channels. Received: "),
        ({"std": [0.2] * 4}, r"`std` must be one .* 1 channels. Received: \[0.2"),
        ({"std": 0.0}, "`std` must be above 0. Received: 0.0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        resnet18((8, 8, 1), width=1, **arguments)
