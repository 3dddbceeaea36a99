import numpy as np
import pytest

from supcon_tf.config import ModelConfig
from supcon_tf.errors import UserError
from supcon_tf.models import load_model
from supcon_tf.models.build import build_classifier, check_same_weights


def build(**options):
    return build_classifier(
        ModelConfig(**{"width": 4, **options}),
        (32, 32, 3),
        ("cat", "dog"),
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.2, 0.2),
    )


def test_config_decides_the_network():
    model = build(contrastive_input="projection", projection_dim=16)
    assert model.class_names == ("cat", "dog")
    assert model.embed(np.zeros((1, 32, 32, 3), np.float32)).shape == (1, 16)


def test_missing_and_broken_model_files_are_refused_in_one_line(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_model(tmp_path / "none.keras")
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"not a model")
    with pytest.raises(UserError, match=r"broken\.keras could not be loaded"):
        load_model(broken)


def test_weights_of_another_width_are_refused_by_name():
    with pytest.raises(UserError, match=r"stem_conv/kernel is \(3, 3, 3, 8\) there"):
        check_same_weights(build(), build(width=8), "--init_from=R")


def test_missing_weights_are_refused_by_name():
    with pytest.raises(UserError, match=r"projection.* missing there"):
        check_same_weights(
            build(contrastive_input="projection"), build(), "--init_from=R"
        )
