"""What the exported model answers, and what it refuses."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from supcon_tf.data.decoding.orientation import TURNS
from supcon_tf.models import load_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(unfolded):
    return tf.saved_model.load(str(unfolded)).signatures


def png(image, mode="RGB", kind="png"):
    picture = Image.fromarray(image)
    if mode == "P":
        picture = picture.convert("L")
        # A palette of greys, so that no colour is changed.
        picture.putpalette([level for level in range(256) for _ in "rgb"])
    file = io.BytesIO()
    picture.convert(mode).save(file, kind)
    return file.getvalue()


def deep_png():
    file = io.BytesIO()
    Image.fromarray(np.full((9, 9), 1000, np.uint16)).save(file, "PNG")
    return file.getvalue()


def test_inputs_are_declared_with_their_types_and_shapes(served):
    declared = {
        name: next(iter(served[name].structured_input_signature[1].values()))
        for name in served
    }
    images = (None, 32, 32, 3)
    assert {
        name: (spec.name, spec.dtype.name, tuple(spec.shape))
        for name, spec in declared.items()
    } == {
        "serving_default": ("images", "float32", images),
        "classify": ("images", "float32", images),
        "classify_uint8": ("images", "uint8", images),
        "classify_encoded": ("image_bytes", "string", (None,)),
        "embed": ("images", "float32", images),
    }


@pytest.mark.parametrize("batch", [1, 2, 7, 130])
def test_logits_are_those_of_the_run(served, run_dir, digits, batch):
    images = digits.test.images[:batch]
    pixels = images.astype(np.float32) / 255
    wanted = load_model(run_dir / "model.keras").predict(
        pixels, batch_size=batch, verbose=0
    )
    for name, values in (("serving_default", pixels), ("classify_uint8", images)):
        found = served[name](tf.constant(values))
        np.testing.assert_allclose(found["logits"], wanted, rtol=0, atol=1e-5)
        assert found["class_id"].dtype == tf.int64
        np.testing.assert_array_equal(found["class_id"], wanted.argmax(axis=1))


def test_encoded_images_of_every_kind_are_classified_as_their_pixels(served, digits):
    image = digits.test.images[0]
    kinds = [png(image, mode) for mode in ("RGB", "L", "RGBA", "P")]
    logits = served["classify_encoded"](tf.constant(kinds))["logits"].numpy()
    wanted = served["classify_uint8"](tf.constant(image[None]))["logits"].numpy()
    np.testing.assert_allclose(logits, np.repeat(wanted, 4, axis=0), atol=1e-4)


def test_photo_of_a_turned_camera_is_classified_upright(served, digits):
    images, exif = [], Image.Exif()
    for image, value in zip(digits.test.images[:8], range(1, 9), strict=True):
        exif[0x0112] = value
        file = io.BytesIO()
        # Turned by its inverse, as such a camera stores it.
        turn = {**TURNS, 6: TURNS[8], 8: TURNS[6]}.get(value)
        stored = Image.fromarray(image)
        stored = stored if turn is None else stored.transpose(turn)
        stored.save(file, "PNG", exif=exif)
        images.append(file.getvalue())
    answer = served["classify_encoded"](tf.constant(images))["logits"].numpy()
    upright = tf.constant(digits.test.images[:8])
    wanted = served["classify_uint8"](upright)["logits"].numpy()
    np.testing.assert_allclose(answer, wanted, atol=1e-4)


def test_encoded_images_of_other_sizes_are_resized(served, digits):
    image = digits.test.images[0]
    large = np.asarray(Image.fromarray(image).resize((97, 64)))
    answer = served["classify_encoded"](tf.constant([png(large, kind="jpeg")]))
    assert answer["label"].numpy()[0].decode() == str(digits.test.labels[0])


def test_embeddings_have_unit_length(served, digits):
    pixels = digits.test.pixels(slice(5))
    answer = served["embed"](tf.constant(pixels))
    assert answer["features"].shape == (5, 16)
    np.testing.assert_allclose(np.linalg.norm(answer["embedding"], axis=1), 1, 1e-5)


@pytest.mark.parametrize(
    ("signature", "value", "message"),
    [
        ("classify", np.zeros((1, 32, 32, 1), "f"), r"\[1,32,32,1\] is not compatible"),
        ("classify", np.zeros((1, 64, 64, 3), "f"), r"\[1,64,64,3\] is not compatible"),
        ("embed", np.zeros((1, 64, 64, 3), "f"), r"\[1,64,64,3\] is not compatible"),
        ("classify_uint8", np.zeros((1, 8, 8, 3), "B"), r"\[1,8,8,3\] is not compat"),
        (
            "classify",
            np.full((1, 32, 32, 3), 255, "f"),
            r"must be finite and in \[0,1\]",
        ),
        ("classify", np.full((1, 32, 32, 3), np.nan, "f"), "must be finite"),
        ("classify_encoded", [b"no image"], "must be a JPEG, PNG, GIF"),
        ("classify_encoded", [b""], "must be a JPEG, PNG, GIF"),
        ("classify_encoded", [deep_png()], "at most 8 bits a channel"),
        ("classify_encoded", [png(np.zeros((9, 9, 3), "B"))[:60]], "PNG"),
    ],
)
def test_bad_input_is_refused_with_its_reason(served, signature, value, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        served[signature](tf.constant(value))


def test_one_bad_image_fails_the_request_and_no_other(served, digits):
    good = png(digits.test.images[0])
    with pytest.raises(tf.errors.InvalidArgumentError):
        served["classify_encoded"](tf.constant([good, b"bad"]))
    assert served["classify_encoded"](tf.constant([good]))["label"].shape == (1,)


def test_graph_session_refuses_a_wrong_size_too(unfolded, monkeypatch):
    """A server runs the graph in a session, past the checks of TensorFlow's Python."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(unfolded))
        signature = loaded.signature_def["serving_default"]
        fed = session.graph.get_tensor_by_name(signature.inputs["images"].name)
        monkeypatch.setattr(type(fed), "get_shape", lambda self: tf.TensorShape(None))
        with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible"):
            session.run(
                signature.outputs["logits"].name, {fed: np.zeros((1, 64, 64, 3), "f")}
            )
