"""The model card where the evaluation says less than everything."""

from records import check_row, evaluation_result, model_result

from supcon_tf.config import Config
from supcon_tf.export.model_card import markdown, model_card
from supcon_tf.runs.run_folder import RunFolder


def card_of(folder, **changes):
    path = RunFolder(folder)
    if changes:
        result = evaluation_result(model_result(**changes))
        path.robustness_file.write_text(result.to_json())
    names = [f"class{n}" for n in range(12)]
    return markdown(model_card(path, Config(), "final", names, (32, 32, 3), True))


def test_card_says_what_is_not_known(tmp_path):
    for number, (changes, said) in enumerate(
        (
            ({}, "Not evaluated: the run has no figures"),
            ({"stage": "pretrain"}, "Not evaluated: the run has no figures"),
            ({"clean_accuracy": None, "attacks": None}, "trained no classifier"),
            ({"attacks": ()}, "No masking checks were run"),
            ({"checks": ()}, "No masking checks were run"),
            ({"checks": (check_row("a", None),)}, "No masking check failed"),
            ({"checks": (check_row("a", False, "b"),)}, "- a: b"),
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert said in card_of(folder, **changes)


def test_long_lists_of_classes_are_cut(tmp_path):
    text = card_of(tmp_path)
    assert "class9, ... (all in labels.txt)" in text
    assert "class10" not in text
