"""`python -m supcon_tf.evaluation`, on a run and on models of other people."""

import contextlib
import dataclasses
import hashlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from records import attack_row, check_row, evaluation_result, model_result

import supcon_tf.evaluation
from supcon_tf.commands.flags import run_command
from supcon_tf.compare import __main__ as compare
from supcon_tf.config import Config, EvaluationConfig
from supcon_tf.data import load
from supcon_tf.errors import UserError
from supcon_tf.evaluation import attacked_model
from supcon_tf.evaluation.__main__ import main
from supcon_tf.evaluation.attack_factory import refuse_impossible_attacks
from supcon_tf.evaluation.command import parse_request
from supcon_tf.evaluation.completeness import covers
from supcon_tf.evaluation.findings import ModelFile
from supcon_tf.evaluation.finished_parts import FinishedParts
from supcon_tf.evaluation.preparation import keeping_parts, open_session
from supcon_tf.evaluation.run import (
    check_evaluation,
    evaluate_run,
    finished_evaluation,
)
from supcon_tf.losses.cross_entropy import CrossEntropyLoss
from supcon_tf.models.build import build_classifier
from supcon_tf.models.folding import fold_batch_norm
from supcon_tf.results.record import EmbeddingFigures, read_result
from supcon_tf.runs.run_folder import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("shallow")]

REPOSITORY = Path(__file__).parents[2]
CONFIG = Config.from_flag_values(
    {
        "image_size": 16,
        "limit_train": 200,
        "limit_test": 40,
        "width": 4,
        "epsilons": (4.0, 8.0),
        "pgd_steps": 2,
        "checks_limit": 20,
    }
)
DATA = ["--dataset=digits", "--image_size=16", "--limit_train=200", "--limit_test=40"]
QUICK = ["--epsilons=8", "--checks_limit=0"]


@pytest.fixture(scope="module")
def data():
    return load(CONFIG.data)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data):
    """A run folder as train.py leaves it, without an evaluation."""
    keras.utils.set_random_seed(0)
    folder = RunFolder(tmp_path_factory.mktemp("trained") / "run")
    folder.begin(CONFIG, data.fingerprint)
    model = build_classifier(
        CONFIG.model, data.image_shape, data.class_names, *data.channel_statistics()
    )
    model.compile(
        keras.optimizers.SGD(0.05, 0.9), {"cross_entropy": (1.0, CrossEntropyLoss())}
    )
    images = data.train.pixels()
    model.fit(images, data.train.labels, batch_size=20, epochs=8, verbose=0)
    folder.stage("pretrain").mkdir()
    model.save(folder.stage_model_file("pretrain"))
    model.save(folder.model_file)
    return folder.path


@pytest.fixture
def run_dir(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_a_run_killed_while_it_removed_its_parts_leaves_none(run_dir, data):
    folder = RunFolder(run_dir)
    flags = {"attacks": ("fgsm",), "epsilons": (8.0,), "checks_limit": 0}
    config = Config.from_flag_values({**CONFIG.flag_values(), **flags})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FinishedParts, "discard", lambda _: None)
        wanted = evaluate_run(folder, config, data)
    other = dataclasses.replace(config, seed=1)
    assert finished_evaluation(folder, other, data) is None
    assert len(list(folder.evaluation_parts.iterdir())) > 3
    assert finished_evaluation(folder, config, data) == wanted
    assert not folder.evaluation_parts.exists()


def row(name="fgsm", epsilon=8.0, **parameters):
    return attack_row(name, epsilon, parameters=parameters)


@pytest.fixture
def evaluated(run_dir):
    """Puts an earlier evaluation into the run folder."""

    def write(*rows, **other):
        rows = rows or (row("fgsm", 4.0), row("fgsm", 8.0))
        entry = model_result("final", *rows, checks=(check_row("one", True),))
        result = evaluation_result(entry, **{"num_examples": 40, **other})
        RunFolder(run_dir).robustness_file.write_text(result.to_json())
        return f"--run_dir={run_dir}"

    return write


def answer(*words, command=main):
    """Exit code, standard output and error of the command, in this process."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as output,
        contextlib.redirect_stderr(io.StringIO()) as error,
        pytest.raises(SystemExit) as end,
    ):
        run_command(command, ["evaluation", *map(str, words)])
    return end.value.code, output.getvalue(), error.getvalue()


def refused(*words, command=lambda argv: parse_request(argv) and None):
    """The one line of a refusal, by default of one that needs no TensorFlow."""
    code, _, error = answer(*words, command=command)
    assert code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


@pytest.fixture(scope="module")
def elsewhere(trained, tmp_path_factory):
    """A run that was evaluated into another folder, and what was said and done."""
    folder = tmp_path_factory.mktemp("elsewhere")
    run_dir, output = shutil.copytree(trained, folder / "run"), folder / "small"
    before = contents(run_dir)
    folded = []

    def counted(model, *arguments):
        folded.append(model)
        return fold_batch_norm(model, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attacked_model, "fold_batch_norm", counted)
        code, text, error = answer(
            f"--run_dir={run_dir}",
            f"--output={output}",
            "--attacks=fgsm,pgd,transfer",
            f"--transfer_from={trained}",
            "--epsilons=8",
            "--limit=20",
        )
    assert code == 0, error
    assert contents(run_dir) == before
    return SimpleNamespace(
        run_dir=run_dir, output=output, text=text, error=error, folded=folded
    )


@pytest.fixture
def refused_by_model(tmp_path):
    """The one line that says why a model is not evaluated."""

    def run(path, *words):
        output = tmp_path / "refused"
        words = [f"--model={path}", f"--output={output}", *DATA, *words]
        error = refused(*words, command=main)
        assert not (output / "robustness.json").exists()
        return error

    return run


@pytest.fixture
def saved(tmp_path):
    """Saves a model and returns the path of its file."""

    def save(model, name="theirs.keras"):
        model.save(tmp_path / name)
        return tmp_path / name

    return save


def network(shape=(16, 16, 3), outputs=10, activation=None):
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Flatten(),
            keras.layers.Dense(outputs, activation=activation),
        ]
    )


@pytest.fixture(scope="module")
def theirs(data, tmp_path_factory):
    """The file of a trained model that is not one of ours."""
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    images = data.train.pixels()
    model.fit(images, data.train.labels, epochs=10, verbose=0)
    path = tmp_path_factory.mktemp("theirs") / "theirs.keras"
    model.save(path)
    return path


def contents(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("words", "code"), [(["--help"], 0), (["--atacks=fgsm"], 2), ([], 2)]
)
def test_help_and_wrong_flags_do_not_load_tensorflow(words, code):
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "supcon_tf.evaluation", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    imported = process.stderr.split()
    assert process.returncode == code
    assert "supcon_tf.evaluation.command" in imported
    assert not {"tensorflow", "keras", "numpy"} & set(imported)
    assert ("--pgd_steps" in process.stdout) == (code == 0)


def test_evaluate_is_still_a_name_of_the_package():
    from supcon_tf.evaluation.model_evaluation import evaluate

    assert supcon_tf.evaluation.evaluate is evaluate
    with pytest.raises(AttributeError, match="has no attribute 'evaluat'"):
        supcon_tf.evaluation.evaluat  # noqa: B018


def test_a_mistake_is_told_in_one_line():
    for words, message in (
        ([], "either --run_dir or --model must be given"),
        (["--run_dir=R", "--model=M"], "Received: --run_dir='R' and --model='M'"),
        (["--run_dir=missing"], "config.json is needed. Received: missing"),
        (["--model=missing.keras", "--output=D"], "Received: missing.keras"),
        (["--run_dir=R", "--limit"], "Missing value for flag --limit"),
        (["--batch_size=3"], "unknown flag --batch_size"),
    ):
        assert message in refused(*words)


def test_a_run_is_not_evaluated_with_wrong_flags(run_dir):
    before = contents(run_dir)
    for words, message in (
        (["--attacks=fgsm,bim"], "--attacks must be one of fgsm, pgd"),
        (["--epsilons=0"], "--epsilons must be above 0"),
        (["--epsilons=big"], "--epsilons must be numbers"),
        (["--dataset=cifar10"], "--dataset goes with --model"),
        (["--limit_test=20"], "--limit_test goes with --model"),
        (["--norm=l2"], "another --norm needs --epsilons"),
        (["--attacks=transfer"], "--attacks=transfer needs --transfer_from"),
        (["--transfer_from=."], "--transfer_from must be a run folder with a finished"),
        (["--output=/dev/null"], "--output must be a folder that can be written"),
    ):
        assert message in refused(f"--run_dir={run_dir}", *words)
    assert contents(run_dir) == before


def test_a_run_that_is_not_finished_is_refused(run_dir):
    (run_dir / "model.keras").unlink()
    assert "must hold a finished model.keras" in refused(f"--run_dir={run_dir}")


def test_output_is_never_the_folder_of_another_run(run_dir, trained):
    error = refused(f"--run_dir={run_dir}", f"--output={trained}")
    assert "--output must not be the folder of another run" in error


def test_a_smaller_evaluation_does_not_replace_one_of_the_run(evaluated):
    word = evaluated()
    for words, difference in (
        (["--split=validation"], "--split was test, now validation"),
        (["--limit=39"], "--limit gives 39 of its 40 images"),
        (["--norm=l2", "--epsilons=4,8"], "--norm was linf, now l2"),
        (["--attacks=pgd,noise"], "--attacks lacks fgsm"),
        (["--epsilons=8,16"], "--epsilons lacks 4"),
        (["--checks_limit=19"], "--checks_limit was 20, now 19"),
    ):
        error = refused(word, *words)
        assert error.endswith(f"It differs: {difference}\n")
        assert "--output" in error


def test_an_evaluation_that_holds_the_earlier_one_may_replace_it(evaluated):
    word = evaluated()
    for words in (
        [],
        ["--limit=40"],
        ["--limit=4000"],
        ["--attacks=pgd,fgsm", "--epsilons=1,2,8,4"],
        ["--pgd_steps=1", "--pgd_restarts=9"],
        ["--checks_limit=21"],
    ):
        assert parse_request(["evaluation", word, *words]).output is None


def test_every_difference_is_named(evaluated):
    error = refused(evaluated(), "--split=validation", "--limit=10", "--epsilons=1")
    assert "; --limit gives 10 of its 40 images; --epsilons lacks 4, 8" in error


def test_attacks_of_other_parameters_do_not_replace_each_other(evaluated):
    for name in ("pgd", "pgd_cw", "pgd_dlr"):
        words = [evaluated(row(name, 4.0, steps=2, restarts=1)), f"--attacks={name}"]
        assert parse_request(["evaluation", *words]).output is None
        assert "--pgd_steps was 2, now 3" in refused(*words, "--pgd_steps=3")
        assert "--pgd_restarts was 1, now 2" in refused(*words, "--pgd_restarts=2")


def test_images_made_on_another_run_do_not_replace_each_other(evaluated, trained):
    earlier = {"attacks": ["fgsm"], "transfer_from": "elsewhere"}
    words = evaluated(settings=earlier), f"--transfer_from={trained}"
    assert "--transfer_from was elsewhere, now" in refused(*words)


def test_what_an_evaluation_recorded_counts_more_than_the_config(evaluated):
    words = evaluated(settings={"checks_limit": 10}), "--checks_limit=10"
    assert parse_request(["evaluation", *words]).output is None


def test_an_evaluation_that_cannot_be_read_is_not_replaced(evaluated, run_dir):
    word = evaluated()
    for text in ("{", "[]", '{"models": 3}'):
        (run_dir / "robustness.json").write_text(text)
        assert "can't be read" in refused(word)


def test_another_output_takes_any_evaluation(evaluated, tmp_path):
    words = evaluated(), "--limit=10", f"--output={tmp_path / 'new' / 'folder'}"
    request = parse_request(["evaluation", *words])
    assert request.output.is_dir()
    assert request.config.evaluation == dataclasses.replace(CONFIG.evaluation, limit=10)


def test_the_run_folder_as_output_is_the_run_folder(evaluated, run_dir):
    error = refused(evaluated(), "--limit=10", f"--output={run_dir}/../run")
    assert "--limit gives 10" in error


def test_a_run_is_evaluated_elsewhere_without_being_touched(elsewhere, trained):
    output = elsewhere.output
    assert f"report: {output / 'report.md'}" in elsewhere.text
    assert "| final    | pgd      |" in elsewhere.text
    assert "| final    | transfer |" in elsewhere.text
    result = read_result(output / "robustness.json")
    assert result.num_examples == 20
    assert result.settings["pgd_steps"] == 2
    assert [model.stage for model in result.models] == ["pretrain", "final"]
    assert [model.checks is None for model in result.models] == [True, False]
    names = [(row.name, row.epsilon_255) for row in result.final.attacks]
    assert names == [("fgsm", 8), ("pgd", 8), ("transfer", 8)]
    for check in result.final.failed_checks:
        line = f"warning: check {check.name} failed: {check.detail}\n"
        assert line in elsewhere.error
    warnings = elsewhere.error.count("warning: check ")
    assert warnings == len(result.final.failed_checks)
    report = (output / "report.md").read_text()
    assert str(elsewhere.run_dir) in report
    assert "[flags.txt]" not in report
    assert not (output / "tensorboard").exists()
    assert not (output / "evaluation_parts").exists()
    pictures = list(output.glob("figures/*.png"))
    assert len(pictures) == 5
    for picture in pictures:
        assert f"(figures/{picture.name})" in report


@pytest.mark.parametrize("stage", ["final", "pretrain"])
def test_one_model_of_a_run_is_evaluated_alone(elsewhere, tmp_path, stage):
    words = f"--run_dir={elsewhere.run_dir}", f"--output={tmp_path / 'one'}"
    code, _, error = answer(*words, "--limit=20", *QUICK, f"--stage={stage}")
    assert code == 0, error
    one = read_result(tmp_path / "one" / "robustness.json")
    both = read_result(elsewhere.output / "robustness.json")
    assert [model.stage for model in one.models] == [stage]
    (same,) = (model for model in both.models if model.stage == stage)
    (fgsm,) = one.models[0].attacks
    assert (fgsm.name, fgsm.accuracy) == ("fgsm", same.attacks[0].accuracy)
    assert one.models[0].model_sha256 == same.model_sha256
    assert (tmp_path / "one" / "report.md").exists()


def test_one_model_alone_does_not_replace_the_evaluation_of_all(run_dir, theirs):
    assert "--stage needs --output" in refused(f"--run_dir={run_dir}", "--stage=final")
    words = f"--run_dir={run_dir}", f"--output={run_dir.parent / 'one'}"
    assert "one of all, pretrain, final" in refused(*words, "--stage=finetune")
    words = f"--model={theirs}", f"--output={run_dir.parent / 'one'}"
    assert "--stage goes with --run_dir" in refused(*words, "--stage=final")


def test_batch_norm_is_folded_once_for_each_model(elsewhere):
    assert len(elsewhere.folded) == len(["pretrain", "final", "transfer_from"])


def test_a_larger_evaluation_replaces_and_the_smaller_one_then_does_not(
    evaluated, run_dir
):
    word = evaluated(row("fgsm", 8.0), settings={"checks_limit": 0})
    smaller = parse_request(["evaluation", word, *QUICK])
    assert smaller.output is None
    assert answer(word, *QUICK, "--attacks=fgsm,noise")[0] == 0
    result = read_result(run_dir / "robustness.json")
    names = [row.name for row in result.models[1].attacks]
    assert names == ["fgsm", "noise"]
    assert len(list(run_dir.glob("tensorboard/*/events*"))) == 2
    assert "[flags.txt](flags.txt)" in (run_dir / "report.md").read_text()
    assert "--attacks lacks noise" in refused(word, *QUICK)
    assert (run_dir / "config.json").read_text() == CONFIG.to_json()
    # What the run was trained with asks for less, and all of that is there.
    asked = dataclasses.replace(CONFIG.evaluation, epsilons=(8.0,), checks_limit=0)
    for settings, covered in (
        ({}, True),
        ({"attacks": ("noise", "fgsm")}, True),
        ({"pgd_steps": 3}, True),
        ({"attacks": ("pgd",)}, False),
        ({"epsilons": (4.0, 8.0)}, False),
        ({"checks_limit": 1}, False),
        ({"split": "validation"}, False),
        ({"norm": "l2"}, False),
        ({"transfer_from": "elsewhere"}, False),
    ):
        assert covers(result, dataclasses.replace(asked, **settings), 40) == covered
    assert not covers(result, asked, 41)
    assert not covers(
        dataclasses.replace(result, settings=None), EvaluationConfig(), 40
    )


def test_data_that_has_shrunk_does_not_replace_an_evaluation(evaluated):
    word = evaluated(row("fgsm", 8.0), num_examples=41)
    error = refused(word, command=main)
    assert "--limit gives 40 of its 41 images" in error


def test_a_transfer_source_of_other_images_is_refused(run_dir, tmp_path):
    (tmp_path / "other").mkdir()
    network((28, 28, 1)).save(tmp_path / "other" / "model.keras")
    source = f"--transfer_from={tmp_path / 'other'}"
    error = refused(f"--run_dir={run_dir}", source, command=main)
    assert f"{source} must take images of digits, (16, 16, 3)" in error
    assert "(28, 28, 1)" in error


def test_a_run_that_meets_other_data_is_refused(run_dir):
    config = json.loads((run_dir / "config.json").read_text())
    config["data"]["image_size"] = 20
    (run_dir / "config.json").write_text(json.dumps(config))
    error = refused(f"--run_dir={run_dir}", command=main)
    assert f"the images are not those of the run in {run_dir}: train, " in error
    # Of a run of an earlier version only what its model says is known.
    (run_dir / "data.json").unlink()
    code, _, error = answer(f"--run_dir={run_dir}")
    assert code == 2
    note, error = error.splitlines()
    assert note.startswith(f"note: {run_dir} has no data.json")
    assert "must take images of digits, (20, 20, 3)" in error


def test_kept_parts_are_those_of_the_same_images(run_dir, tmp_path, data):
    def parts(data, data_dir=""):
        moved = dataclasses.replace(CONFIG.data, data_dir=data_dir)
        config = dataclasses.replace(CONFIG, data=moved)
        folder = RunFolder(tmp_path / "out")
        file = ModelFile(run_dir / "model.keras", "", "final", "")
        session = open_session(config, data)
        return keeping_parts(session, folder, config, data, [file]).parts

    parts(data).part("clean", lambda: {"x": 1})
    never = pytest.fail
    assert int(parts(data, "elsewhere").part("clean", never)["x"]) == 1
    other = dataclasses.replace(
        data, fingerprint=dataclasses.replace(data.fingerprint, class_names=("a",))
    )
    assert int(parts(other).part("clean", lambda: {"x": 2})["x"]) == 2


def test_attacks_that_cannot_be_made_are_refused_before_any_is_run():
    for name, classes in (("pgd_dlr", 2), ("apgd_t", 3), ("autoattack", 3)):
        settings = EvaluationConfig(attacks=("fgsm", name))
        message = f"--attacks={name}: .* needs at least {classes + 1} classes"
        with pytest.raises(UserError, match=message):
            refuse_impossible_attacks(settings, classes=classes)
        refuse_impossible_attacks(settings, classes=classes + 1)


def test_what_an_evaluation_would_refuse_is_refused_before_training(tmp_path, data):
    folder, two = RunFolder(tmp_path), dataclasses.replace(data, class_names=("a", "b"))
    for flags, images, message in (
        ({"attacks": ("pgd_dlr",)}, two, "--attacks=pgd_dlr: .* at least 3 classes"),
        ({"split": "validation", "validation_share": 0.0}, None, "--split=validation"),
        (
            {"attacks": ("transfer",), "transfer_from": "nowhere"},
            data,
            "--transfer_from must be a run folder .* Received: nowhere",
        ),
    ):
        config = Config.from_flag_values({**CONFIG.flag_values(), **flags})
        images = images or dataclasses.replace(data, validation=None)
        with pytest.raises(UserError, match=message):
            check_evaluation(folder, config, images)
    check_evaluation(folder, CONFIG, data)


def test_a_model_of_other_people_is_attacked_and_checked(theirs, tmp_path):
    output = tmp_path / "theirs"
    code, text, error = answer(
        f"--model={theirs}",
        f"--output={output}",
        *DATA,
        "--attacks=fgsm,pgd",
        "--epsilons=4,8",
        "--pgd_steps=3",
        "--checks_limit=20",
    )
    assert code == 0, error
    (model,) = read_result(output / "robustness.json").models
    assert model.stage == "final"
    assert model.clean_accuracy > 0.6
    assert len(model.attacks) == 4
    assert len(model.checks) == 12
    assert model.embedding == EmbeddingFigures()
    report = (output / "report.md").read_text()
    assert "The Keras model theirs.keras (7,690 parameters)" in report
    assert "ResNet" not in report
    assert "trained in" not in report
    assert "Not measured" in report
    assert (output / "figures" / "adversarial.png").is_file()
    outcomes = np.load(output / "robustness.npz")
    assert outcomes["final/clean"].mean() == model.clean_accuracy
    assert f"report: {output / 'report.md'}" in text
    assert "no better than chance" not in error


def test_a_model_that_guesses_is_warned_of(saved, tmp_path):
    words = [f"--model={saved(network())}", f"--output={tmp_path / 'out'}", *DATA]
    code, _, error = answer(*words, *QUICK)
    assert code == 0
    assert "no better than chance" in error


def test_a_model_needs_an_output(theirs):
    assert "--model needs --output" in refused(f"--model={theirs}")


def test_a_model_that_does_not_fit_is_refused(refused_by_model, saved):
    for model, message in (
        (network(activation="softmax"), "an output through softmax"),
        (network((16, 16, 1)), "Received: a model of (16, 16, 1) inputs"),
        (network((32, 32, 3)), "Received: a model of (32, 32, 3) inputs"),
        (network(outputs=7), "must give 10 logits"),
        (network(outputs=1), "with two classes or more. Received: shape"),
    ):
        path = saved(model)
        error = refused_by_model(path)
        assert message in error
        assert f"--model={path}" in error


def test_probabilities_without_an_activation_are_refused(refused_by_model, saved):
    inputs = keras.Input((16, 16, 3))
    powers = keras.ops.exp(network()(inputs) / 10)
    shares = powers / keras.ops.sum(powers, axis=1, keepdims=True)
    error = refused_by_model(saved(keras.Model(inputs, shares)))
    assert "attacks on probabilities are misleadingly weak" in error


def test_a_model_of_several_outputs_is_refused(refused_by_model, saved):
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, [network()(inputs), network()(inputs)])
    assert "Received: a list of 2" in refused_by_model(saved(model))


@keras.saving.register_keras_serializable(package="theirs")
class Unknown(keras.layers.Layer):
    """A layer that only this process knows."""

    def call(self, inputs):
        return inputs


def test_a_model_that_needs_code_of_other_people_is_refused(
    run_module, theirs, saved, tmp_path
):
    path = saved(keras.Sequential([keras.Input((16, 16, 3)), Unknown(), network()]))
    words = [f"--model={path}", f"--output={tmp_path / 'out'}", *DATA]
    process = run_module("supcon_tf.evaluation", *words)
    assert process.returncode == 2
    (line,) = [x for x in process.stderr.splitlines() if x.startswith("error: ")]
    assert "could not be loaded as a model" in line
    assert "Traceback" not in process.stderr


def test_a_file_that_is_no_model_is_refused(refused_by_model, tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    error = refused_by_model(tmp_path / "text.keras")
    assert "could not be loaded as a model" in error


def test_a_run_of_other_classes_is_refused_as_a_model(refused_by_model, data, saved):
    names = tuple("abcdefghij")
    statistics = data.channel_statistics()
    model = build_classifier(CONFIG.model, data.image_shape, names, *statistics)
    error = refused_by_model(saved(model))
    assert "must know the 10 classes of digits (0, 1, 2, ...)" in error


def test_an_evaluation_elsewhere_can_be_compared_and_made_again(elsewhere, tmp_path):
    places = [tmp_path / name for name in ("first", "second")]
    for place in places:
        shutil.copytree(elsewhere.output, place)
    words = [f"--run_dir={elsewhere.run_dir}", f"--output={places[0]}", "--limit=20"]
    assert answer(*words, *QUICK, "--attacks=fgsm")[0] == 0
    assert len(read_result(places[0] / "robustness.json").final.attacks) == 1
    both = [*map(str, places), f"--output={tmp_path / 'both'}"]
    assert answer(*both, command=compare.main)[0] == 0
    assert (tmp_path / "both" / "comparison.md").exists()
