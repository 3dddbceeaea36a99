"""Figures are PNGs that show what they were given."""

import numpy as np
import pytest
from PIL import Image
from records import attack_row, model_result

from supcon_tf.visualization import adversarial_grid as grid
from supcon_tf.visualization import curves, histograms
from supcon_tf.visualization import embedding_map as mapping

RNG = np.random.default_rng(0)


def assert_is_picture(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300
        assert max(image.size) < 3000
        assert len(image.convert("RGB").getcolors(1 << 24)) > 10


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_margins_are_drawn_with_the_boundary_and_the_stages_they_belong_to(tmp_path):
    margins = {"pretrain": RNG.normal(1, 1, 500), "final": RNG.normal(2, 1, 500)}
    histograms.margin_histogram(margins, tmp_path / "margins.png", "distance")
    assert_is_picture(tmp_path / "margins.png")
    axes = histograms._margin_figure(margins, "distance").axes[0]
    assert axes.get_xlabel() == "distance"
    assert any(list(line.get_xdata()) == [0, 0] for line in axes.lines)
    wrong = (margins["final"] < 0).mean()
    assert (
        f"final: median {np.median(margins['final']):.3g}, {wrong:.1%}"
        in legend_of(axes)[1]
    )


def test_outliers_do_not_squeeze_the_histogram():
    margins = {"final": np.array([*np.linspace(0, 1, 2000), 1e9])}
    axes = histograms._margin_figure(margins, "distance").axes[0]
    assert axes.get_xlim()[1] < 2


def test_similarities_get_a_panel_for_each_stage_and_lines_at_its_margins(tmp_path):
    positive = {s: RNG.uniform(0.5, 1, 300) for s in ("pretrain", "final")}
    negative = {s: RNG.uniform(-0.5, 0.5, 300) for s in ("pretrain", "final")}
    path = tmp_path / "similarities.png"
    margins = {"final": (0.8, 0.2)}
    histograms.similarity_histogram(positive, negative, path, margins)
    assert_is_picture(path)
    figure = histograms._similarity_figure(positive, negative, margins)
    assert [axes.get_title() for axes in figure.axes] == ["pretrain", "final"]
    drawn = [list(line.get_xdata()) for line in figure.axes[1].lines]
    assert [0.8, 0.8] in drawn
    assert [0.2, 0.2] in drawn
    # Its loss had no margins.
    assert len(legend_of(figure.axes[0])) == 2


def test_a_single_class_has_no_negative_pairs_to_draw():
    figure = histograms._similarity_figure(
        {"final": np.ones(5)}, {"final": np.zeros(0)}, {}
    )
    assert len(legend_of(figure.axes[0])) == 1


def test_values_that_are_not_finite_are_counted_and_the_others_drawn(tmp_path):
    some, none = np.array([0.5, np.nan, -np.inf]), np.full(3, np.nan)
    histograms.margin_histogram({"a": some, "b": none}, tmp_path / "margins.png")
    axes = histograms._margin_figure({"a": some, "b": none}, "distance").axes[0]
    assert legend_of(axes) == [
        "a: median 0.5, 0.0% misclassified, 2 of 3 not finite",
        "b, 3 of 3 not finite",
    ]
    figure = histograms._similarity_figure({"a": some}, {"a": none}, {})
    assert legend_of(figure.axes[0]) == [
        "same class: mean 0.50, 2 of 3 not finite",
        "different classes, 3 of 3 not finite",
    ]


def test_a_mean_that_rounds_to_zero_has_no_sign():
    values = {"a": np.array([-1e-7])}
    legend = legend_of(histograms._similarity_figure(values, values, {}).axes[0])
    assert legend == ["same class: mean 0.00", "different classes: mean 0.00"]


@pytest.mark.parametrize("classes", [3, 25])
def test_the_map_shows_at_most_ten_classes(classes, tmp_path):
    labels = np.arange(100) % classes
    clean = RNG.normal(size=(100, 8)) + 5 * RNG.normal(size=(classes, 8))[labels]
    names = [f"class {i}" for i in range(classes)]
    path = tmp_path / "map.png"
    mapping.embedding_map(clean, clean + 1, labels, names, path, title="FGSM")
    assert_is_picture(path)
    rows = mapping._chosen(labels, np.random.default_rng(0))
    assert len(np.unique(labels[rows])) == min(classes, 10)


def test_the_map_draws_dots_crosses_and_links():
    labels = np.array([0, 0, 1, 1, 2])
    before, after = RNG.normal(size=(5, 2)), RNG.normal(size=(5, 2))
    linked = np.array([1, 4])
    figure = mapping._figure(before, after, labels, linked, ["a", "b", "c"], "PGD")
    axes = figure.axes[0]
    assert axes.get_title() == "PGD"
    assert len(axes.lines) == 2
    points = sum(len(c.get_offsets()) for c in axes.collections)
    assert points == 10
    assert legend_of(axes)[-3:] == ["a", "b", "c"]


def test_embeddings_without_a_map_are_said_to_have_none(tmp_path, monkeypatch):
    """scikit-learn's t-SNE ends the whole process on most of these."""
    good = RNG.normal(size=(12, 4)).astype(np.float32)
    one_lost = np.where(np.arange(12)[:, None] == 3, np.nan, good)
    alike = "all embeddings are the same"
    lost = "images are left out: their embeddings are not finite"
    figures = []
    monkeypatch.setattr(mapping, "save", lambda figure, _: figures.append(figure))
    for embeddings, points, note in (
        (np.zeros((12, 4), np.float32), 24, alike),
        (np.ones((12, 4), np.float32), 24, alike),
        (1 + 1e-8 * good.astype(np.float64), 24, alike),
        (one_lost, 22, f"1 of 12 {lost}"),
        (np.where(np.isnan(one_lost), np.inf, one_lost), 22, f"1 of 12 {lost}"),
        (good * np.nan, 0, f"12 of 12 {lost}"),
        (good * np.float32(1e-30), 24, ""),
        (good * np.float32(1e30), 24, ""),
        (np.repeat(good[:2], 6, axis=0), 24, ""),
        (good[:1], 2, alike),
    ):
        labels = np.arange(len(embeddings)) % 3
        mapping.embedding_map(embeddings, embeddings, labels, "abc", tmp_path / "x")
        axes = figures[-1].axes[0]
        drawn = np.concatenate([c.get_offsets() for c in axes.collections] or [[]])
        assert len(drawn) == points
        assert np.isfinite(np.asarray(drawn)).all()
        assert axes.get_xlabel().partition("\n")[2] == note


def test_the_map_of_a_seed_is_always_the_same():
    vectors = RNG.normal(size=(40, 6)).astype(np.float32)
    first, again = (mapping._two_dimensional(vectors, 0) for _ in range(2))
    assert (first == again).all()


@pytest.mark.parametrize("size", [32, 64])
def test_the_grid_draws_images_changes_and_predictions(size, tmp_path):
    images = RNG.uniform(0.2, 0.8, (10, size, size, 3)).astype(np.float32)
    adversarial = images + 8 / 255 * np.sign(RNG.normal(size=images.shape))
    labels, names = np.arange(10), [f"class name {i}" for i in range(10)]
    path = tmp_path / "grid.png"
    grid.adversarial_grid(
        images, adversarial, labels, labels, labels[::-1], names, path, "FGSM 8/255"
    )
    assert_is_picture(path)


def test_the_grid_marks_what_is_right_and_wrong_and_names_its_magnification():
    images = np.full((2, 4, 4, 3), 0.5)
    adversarial = images + 8 / 255
    figure = grid._figure(
        images, adversarial, ["cat", "dog"], ["cat", "dog"], ["dog", "dog"], "FGSM"
    )
    assert [axes.get_title() for axes in figure.axes] == [
        "✓ cat", "✓ dog", "✗ dog", "✓ dog", "", "",
    ]  # fmt: skip
    assert figure.axes[4].get_ylabel() == "change × 15"
    change = figure.axes[4].images[0].get_array()
    assert np.asarray(change) == pytest.approx(0.5 + 15 * 8 / 255)


def test_an_attack_that_changed_nothing_is_drawn_grey():
    images = np.zeros((1, 4, 4, 3))
    figure = grid._figure(images, images, ["a"], ["a"], ["a"], "FGSM")
    assert (np.asarray(figure.axes[2].images[0].get_array()) == 0.5).all()


def test_the_band_of_a_curve_is_its_interval_or_what_its_points_say():
    row = attack_row("fgsm", 8.0, 0.5, interval_95=(0.4, 0.6))
    point = curves.Point("fgsm", "linf", 8.0, 0.5, (0.1, 0.9))
    for model, wanted in (
        (curves.Curves.of(model_result("final", row)), [0.4, 0.6]),
        (curves.Curves(0.9, (point,)), [0.1, 0.9]),
    ):
        axes = curves._curves_figure({"run": model}).axes[0]
        (band,) = axes.collections
        heights = band.get_paths()[0].vertices[:, 1]
        assert [heights.min(), heights.max()] == wanted
