"""Figures and hyper-parameters, read back through the real TensorBoard."""

import io
import json
import urllib.request

import numpy as np
import pytest
from PIL import Image
from records import attack_row, evaluation_result, model_result
from tensorboard_server import tensorboard_server

from supcon_tf.config import Config
from supcon_tf.visualization.tensorboard.log import (
    final_accuracies,
    hyperparameters,
    log_hparams,
    log_images,
)


def robustness(clean, rows):
    attacks = [attack_row("fgsm", *row) for row in rows.items()]
    return evaluation_result(
        model_result("pretrain", clean_accuracy=0.1),
        model_result("final", *attacks, clean_accuracy=clean),
    )


# Two runs whose lists of epsilons overlap in part, and the first evaluated twice.
RUNS = {
    "one": ({"temperature": 0.1}, 0.75, {4.0: 0.5, 8.0: 0.25}),
    "two": ({"temperature": 0.2, "attacks": ("fgsm", "pgd")}, 0.625, {8.0: 0.375}),
}


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    path = tmp_path_factory.mktemp("figures") / "grid.png"
    Image.fromarray(pixels).save(path)
    return path, pixels


@pytest.fixture(scope="module")
def server(picture, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    log_hparams(runs / "one" / "tensorboard", Config(), robustness(0.5, {8.0: 0.0}))
    for name, (flags, clean, rows) in RUNS.items():
        config = Config.from_flag_values(flags)
        log_hparams(runs / name / "tensorboard", config, robustness(clean, rows))
    other = picture[0].with_name("other.png")
    Image.fromarray(picture[1][:5]).save(other)
    for path in (other, picture[0]):
        log_images(runs / "one" / "tensorboard", {"adversarial examples": path}, 7)
    with tensorboard_server(runs) as server:
        server.wait_for(lambda: len(server.get_json("runs")) == 3)
        yield server


def ask_hparams(server, route, request):
    # As a form, which urllib sends by default, the plugin would not see the data.
    request = urllib.request.Request(
        f"{server.address}/data/plugin/hparams/{route}",
        json.dumps(request).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def session_groups(server, metrics):
    columns = [
        {"metric": {"tag": tag, "group": ""}, "order": "ORDER_DESC"} for tag in metrics
    ]
    request = {
        "startIndex": 0,
        "sliceSize": 10,
        "allowedStatuses": ["STATUS_SUCCESS"],
        "colParams": columns,
    }
    return ask_hparams(server, "session_groups", request)["sessionGroups"]


@pytest.mark.parametrize(
    ("metric", "order"),
    [("final/clean", ["one", "two"]), ("final/fgsm_8", ["two", "one"])],
)
def test_tensorboard_sorts_runs_by_an_accuracy(server, metric, order):
    groups = session_groups(server, [metric])
    assert [group["name"].split()[0] for group in groups] == order


def test_tensorboard_shows_the_last_evaluation_of_each_run(server):
    for group in session_groups(
        server, ["final/clean", "final/fgsm_4", "final/fgsm_8"]
    ):
        flags, clean, rows = RUNS[group["name"].split()[0]]
        shown = {m["name"]["tag"]: m["value"] for m in group["metricValues"]}
        expected = {f"final/fgsm_{epsilon:g}": value for epsilon, value in rows.items()}
        assert shown == {"final/clean": clean, **expected}
        assert group["hparams"]["temperature"] == flags["temperature"]
        assert group["hparams"]["finetune_freeze_encoder"] is False
        assert group["hparams"]["epsilons"] == "1,2,4,8"
        assert group["hparams"]["attacks"] == ",".join(flags.get("attacks", ("fgsm",)))


def test_tensorboard_knows_the_accuracies_of_all_runs_and_which_flags_differ(server):
    found = ask_hparams(server, "experiment", {})
    tags = {info["name"]["tag"] for info in found["metricInfos"]}
    assert tags == {"final/clean", "final/fgsm_4", "final/fgsm_8"}
    differing = {info["name"] for info in found["hparamInfos"] if info.get("differs")}
    assert differing == {"temperature", "attacks"}


def test_tensorboard_serves_the_last_picture_of_a_name(server, picture):
    run, tag = "one/tensorboard/figures", "adversarial examples"
    tags = server.get_json("plugin/images/tags")
    assert list(tags) == [run]
    assert list(tags[run]) == [tag]
    images = server.get_json("plugin/images/images", run=run, tag=tag, sample="0")
    assert [image["step"] for image in images] == [7]
    url = f"{server.address}/data/plugin/images/individualImage?{images[0]['query']}"
    with urllib.request.urlopen(url) as answer:
        served = np.asarray(Image.open(io.BytesIO(answer.read())))
    np.testing.assert_array_equal(served, picture[1])


def test_hyperparameters_are_scalars_and_leave_out_what_changes_no_result():
    flags = hyperparameters(Config())
    assert {type(value) for value in flags.values()} == {bool, int, float, str}
    assert not {"data_dir", "cache_gib", "log_format", "strategy"} & set(flags)
    assert flags["pretrain_supcon_weight"] == 1.0


def test_an_l2_radius_is_told_from_an_l_inf_one():
    row = attack_row("pgd", 0.5, 0.25, norm="l2")
    result = evaluation_result(model_result("final", row, clean_accuracy=1.0))
    assert final_accuracies(result) == {"final/clean": 1.0, "final/pgd_l2_0.5": 0.25}


def test_a_classifier_that_was_not_trained_has_no_accuracy():
    untrained = model_result("final", attacks=None, clean_accuracy=None)
    assert final_accuracies(evaluation_result(untrained)) == {}
