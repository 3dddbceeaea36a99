import io
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from absl import flags
from hypothesis import given, settings
from hypothesis import strategies as st

from supcon_tf.commands.flags import (
    config_from,
    default_run_dir,
    define_config,
    define_options,
    define_path,
    evaluation_from,
    new_flags,
    parse,
    parse_words,
    run_command,
)
from supcon_tf.config import Config, DataConfig, EvaluationConfig
from supcon_tf.config.flag_lines import flagfile_text
from supcon_tf.config.options import options_of
from supcon_tf.errors import UserError

REPOSITORY = Path(__file__).parents[2]
USAGE = "usage: tiny [--flag=value ...]"

COMMAND = """
import sys
from supcon_tf.commands import flags
from supcon_tf.commands.flags import define_config, new_flags, parse, run_command

def main(argv):
    values = new_flags()
    define_config(values)
    try:
        parse(values, argv, "usage: tiny")
        print(flags.config_from(values).to_json())
    finally:
        heavy = {"tensorflow", "keras", "numpy", "sklearn"} & set(sys.modules)
        assert not heavy, f"imported {heavy}"

run_command(main, ["tiny", *sys.argv[1:]])
"""


def run_process(*words):
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def parsed(*words):
    values = new_flags()
    define_path(values, "run_dir", "run folder")
    define_config(values)
    parse(values, ["tiny", *words], USAGE)
    return values


def config_of(*words):
    return config_from(parsed(*words))


@pytest.fixture
def answer(capsys):
    """Exit code, standard output and error of a command, in this process."""

    def run(*words):
        with pytest.raises(SystemExit) as end:
            run_command(lambda argv: config_of(*argv) and None, words)
        return end.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def flagfile(tmp_path):
    """Writes a flagfile and returns the flag that reads it."""

    def write(text, name="recipe.flags"):
        (tmp_path / name).write_text(text)
        return f"--flagfile={tmp_path / name}"

    return write


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--bach_size=3"],
            "unknown flag --bach_size. Did you mean --batch_size? "
            "--help lists all flags",
        ),
        (["--zzzzzzzzzz"], "unknown flag --zzzzzzzzzz. --help lists all flags"),
        (
            ["--batch_size=many"],
            "--batch_size must be a whole number. Received: 'many'",
        ),
        (["--batch_size=1.5"], "--batch_size must be a whole number. Received: '1.5'"),
        (["--batch_size="], "--batch_size must be a whole number. Received: ''"),
        (["--temperature=warm"], "--temperature must be a number. Received: 'warm'"),
        (
            ["--deterministic=maybe"],
            "--deterministic must be true or false. Received: 'maybe'",
        ),
        (["--temperature=0"], "--temperature must be above 0. Received: 0.0"),
        (["--temperature=nan"], "--temperature must be above 0. Received: nan"),
        (["--stem=big"], "--stem must be one of small, imagenet. Received: 'big'"),
        (
            ["--epsilons=1,two"],
            "--epsilons must be numbers separated by commas. Received: 1,two",
        ),
        (["--epsilons="], "--epsilons must not be empty. Received: ''"),
        (["--attacks="], "--attacks must not be empty. Received: ''"),
        (
            ['--attacks="fgsm'],
            "--attacks must be values separated by commas. Received: '\"fgsm'",
        ),
        (
            ["--nodetermnistic"],
            "unknown flag --nodetermnistic. Did you mean --deterministic? "
            "--help lists all flags",
        ),
        (
            ["--epsilons=1,256"],
            "--epsilons must be above 0 and at most 255. Received: 256.0",
        ),
        (
            ["cifar10", "--seed=1"],
            "words that belong to no flag (flags look like --name=value). "
            "Received: cifar10",
        ),
        (
            ["--epsilons=8,4,8"],
            "--epsilons must hold each value once. Received: (8.0, 4.0, 8.0)",
        ),
        (["--seed"], "Missing value for flag --seed"),
        (
            ["--nodeterministic=true"],
            "--nodeterministic=true does not take an argument",
        ),
        (
            ["--deterministic", "False"],
            "words that belong to no flag (flags look like --name=value). "
            "Received: False",
        ),
        (["--flagfile"], "Missing value for flag --flagfile"),
        (
            ["--flagfile=missing.flags"],
            "--flagfile must be a readable file. Received: 'missing.flags'",
        ),
        (["--flagfile=."], "--flagfile must be a readable file. Received: '.'"),
        (
            ["--data_dir=MINE"],
            "--data_dir needs --dataset=folder for own images, or the name of a data "
            "set of tensorflow-datasets. Received: --data_dir=MINE with "
            "--dataset=digits, which come with scikit-learn",
        ),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(answer, words, message):
    assert answer(*words) == (2, "", f"error: {message}\n")


def test_a_mistake_with_line_breaks_in_it_still_takes_one_line(answer):
    code, _, error = answer("--dataset=folder", "--data_dir=", "two\nlines")
    assert code == 2
    assert error.count("\n") == 1


def test_right_flags_exit_with_code_0(answer):
    assert answer("--batch_size=8", "--epsilons=1,2") == (0, "", "")


def test_exit_code_of_main_is_kept(capsys):
    for returned, expected in [(None, 0), (0, 0), (3, 3)]:
        with pytest.raises(SystemExit) as end:
            run_command(lambda argv, code=returned: code, [])
        assert end.value.code == expected


def test_a_full_disk_is_one_line_with_a_file_in_it_whoever_found_it(capsys):
    class ResourceExhaustedError(Exception):
        """TensorFlow's, which the command line does not import."""

    for error in (
        OSError(28, "No space left on device", "runs/a/config.json"),
        ResourceExhaustedError("runs/a/events.v2; No space left on device\n\tFailed"),
    ):

        def full(argv, error=error):
            raise error

        with pytest.raises(SystemExit) as end:
            run_command(full, [])
        assert end.value.code == 1
        line = capsys.readouterr().err
        assert line.startswith("error: ")
        assert "runs/a/" in line
        assert line.count("\n") == 1


def test_an_interrupt_exits_with_130_and_a_defect_keeps_its_traceback():
    def interrupted(argv):
        raise KeyboardInterrupt

    def defective(argv):
        raise ValueError("ours")

    with pytest.raises(SystemExit) as end:
        run_command(interrupted, [])
    assert end.value.code == 130
    with pytest.raises(ValueError, match="ours"):
        run_command(defective, [])


def test_help_lists_every_flag_and_exits_with_code_0(answer):
    code, output, error = answer("--help")
    assert (code, error) == (0, "")
    assert output.startswith(USAGE)
    listed = {line.split()[0] for line in output.splitlines() if line[:4] == "  --"}
    wanted = {f"--{name}" for name in Config().flag_values()}
    assert listed == wanted | {"--help", "--flagfile", "--run_dir"}
    assert max(len(line) for line in output.splitlines()) <= 88


def test_help_says_default_meaning_and_range(answer):
    output = " ".join(answer("--help")[1].split())
    assert "--batch_size (default '128') images (not views) in a global batch" in output
    assert "held out for validation (at least 0 and below 1)" in output
    assert "separated by commas (any of fgsm, pgd, " in output
    assert "arithmetic of training" in output
    assert "(one of float32, float64, mixed_bfloat16, mixed_float16)" in output


def test_flags_without_a_value_given_keep_their_defaults():
    assert config_of() == Config()


def test_flag_values_have_the_types_of_the_config():
    config = config_of(
        "--temperature=1",
        "--epsilons=1, 2.5",
        "--attacks=pgd,noise",
        "--deterministic",
        "--nofinetune_freeze_encoder",
        "--seed",
        "7",
    )
    assert config == Config.from_flag_values(
        {
            "temperature": 1.0,
            "epsilons": (1.0, 2.5),
            "attacks": ("pgd", "noise"),
            "deterministic": True,
            "finetune_freeze_encoder": False,
            "seed": 7,
        }
    )
    assert isinstance(config.loss.temperature, float)


def test_a_flagfile_may_have_comments_and_empty_lines(flagfile):
    recipe = flagfile("# Reproduces nothing.\n// Nor does this.\n\n--seed=3\n  \n")
    assert config_of(recipe).seed == 3


def test_a_flagfile_may_read_another(flagfile):
    inner = flagfile("--seed=3\n--width=8\n", "inner.flags")
    outer = flagfile(f"--batch_size=16\n{inner}\n--width=4\n", "outer.flags")
    config = config_of(outer)
    assert (config.batch_size, config.seed, config.model.width) == (16, 3, 4)


@pytest.mark.parametrize("separate_word", [False, True])
def test_later_flags_win(flagfile, separate_word):
    first, second = flagfile("--seed=1\n", "1.flags"), flagfile("--seed=2\n", "2.flags")

    def seed(*words):
        if separate_word:
            words = [part for word in words for part in word.split("=")]
        return config_of(*words).seed

    assert seed(first, "--seed=5") == 5
    assert seed("--seed=5", first) == 1
    assert seed(first, second) == 2
    assert seed(second, first) == 1
    assert seed("--seed=5", "--seed=6") == 6


def test_a_mistake_inside_a_flagfile_is_named(flagfile, answer):
    code, _, error = answer(flagfile("--seed=1\n--temprature=0.2\n"))
    assert (code, error) == (
        2,
        "error: unknown flag --temprature. Did you mean --temperature? "
        "--help lists all flags\n",
    )


def test_a_flagfile_that_a_flagfile_names_must_be_there(flagfile, answer):
    code, _, error = answer(flagfile("--flagfile=missing.flags\n"))
    assert code == 2
    assert error == (
        "error: --flagfile must be a readable file. Received: 'missing.flags'\n"
    )


def test_a_flagfile_is_looked_for_beside_the_one_that_names_it(
    flagfile, tmp_path, monkeypatch, answer
):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "elsewhere").mkdir()
    flagfile("--seed=3\n--flagfile=../deeper.flags\n", "recipes/inner.flags")
    flagfile("--width=8\n", "deeper.flags")
    outer = flagfile("--flagfile=inner.flags\n--batch_size=16\n", "recipes/o.flags")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for word in (outer, "--flagfile=../recipes/o.flags"):
        config = config_of(word)
        assert (config.seed, config.model.width, config.batch_size) == (3, 8, 16)
    # As it has always been: from the working directory.
    monkeypatch.chdir(tmp_path)
    by_root = flagfile("--flagfile=recipes/inner.flags\n", "recipes/root.flags")
    assert config_of(by_root).seed == 3
    flagfile("--seed=4\n", "inner.flags")
    assert answer(outer) == (
        2,
        "",
        "error: --flagfile must be one file, and is another beside the flagfile that "
        f"names it ({tmp_path / 'recipes'}) than in {tmp_path}. "
        "Received: 'inner.flags'\n",
    )


def test_a_comment_after_a_value_and_quotes_in_a_flagfile_are_refused(flagfile, answer):
    for line in (
        "--run_dir=runs/a  # the first",
        "--run_dir=runs/a\t#1",
        "--data_dir=/images // mine",
        "--deterministic # slow",
        '--data_dir="/my images"',
        "--data_dir='/my images'",
        "--run_dir=“runs/a”",
    ):
        code, _, error = answer(flagfile(f"--seed=1\n{line}\n"))
        assert code == 2
        assert error.startswith(
            "error: a flagfile's line must be --name=value without quotes, and "
            "comments have lines of their own. Received: "
        )
        assert error.count("\n") == 1
    for value in ("a#1", "#1", "it's", 'a "b" c', "gs://bucket"):
        text = f"--dataset=folder\n--data_dir={value}\n"
        assert config_of(flagfile(text)).data.data_dir == value


def test_a_value_that_no_flagfile_can_hold_is_refused():
    for value in ("a\nb", "a ", "-a #1", '"a" #1\n'):
        with pytest.raises(UserError, match=r"^--run_dir must be a value that a flag"):
            flagfile_text(Config(), value)


def test_a_tilde_is_the_home_folder_in_every_path(monkeypatch, flagfile, answer):
    monkeypatch.setenv("HOME", "/home/me")
    paths = [flag for flag, _, allowed in Config().options() if allowed.path]
    assert {"data_dir", "init_from", "transfer_from"} <= set(paths)
    for word in ("--{}=~/a b", "--{}=/home/me/a b"):
        words = [word.format(name) for name in [*paths, "run_dir"]]
        for values in (parsed(*words), parsed(flagfile("\n".join(words)))):
            for name in [*paths, "run_dir"]:
                assert values[name].value == "/home/me/a b"
    assert parsed("--run_dir", "~").run_dir == "/home/me"
    for value in ("./~", "a~b", "a/~/b", ""):
        assert (
            config_of("--dataset=cifar100", f"--data_dir={value}").data.data_dir
            == value
        )
    assert answer("--data_dir=~nobody_of_that_name/a") == (
        2,
        "",
        "error: --data_dir must begin with a home folder that is known, or with ./~. "
        "Received: '~nobody_of_that_name/a'\n",
    )


def test_a_path_that_is_not_utf_8_is_refused(answer):
    assert answer("--run_dir=runs/\udcff") == (
        2,
        "",
        "error: --run_dir must be a path in UTF-8. Received: 'runs/\\udcff'\n",
    )


def test_every_command_knows_which_of_its_flags_are_paths():
    from supcon_tf.compare.__main__ import CompareSettings
    from supcon_tf.export.settings import ExportSettings

    for command, wanted in [
        (ExportSettings, {"run_dir", "output"}),
        (CompareSettings, {"output"}),
    ]:
        found = {f.name for f, allowed in options_of(command) if allowed.path}
        assert found >= wanted


FLOATS = st.floats(0, 255, exclude_min=True)


@settings(deadline=None)
@given(
    values=st.fixed_dictionaries(
        {"dataset": st.just("cifar100")},
        optional={
            "temperature": FLOATS,
            "weight_decay": FLOATS,
            "pretrain_warmup_epochs": FLOATS,
            "epsilons": st.lists(FLOATS, min_size=1, max_size=4, unique=True).map(
                tuple
            ),
            "attacks": st.lists(
                st.sampled_from(["fgsm", "pgd", "pgd_cw"]), min_size=1, unique=True
            ).map(tuple),
            "deterministic": st.booleans(),
            "seed": st.integers(0, 2**31 - 1),
            "data_dir": st.sampled_from(
                ["", "some where", "a=b", "#x", "--y", "ä,ö", "a #1", '"quoted"']
            ),
        },
    ),
)
def test_the_flags_of_a_run_give_its_config_again(values, tmp_path_factory):
    config = Config.from_flag_values(values)
    file = tmp_path_factory.mktemp("run") / "flags.txt"
    file.write_text(flagfile_text(config, "runs/one of mine"), encoding="utf-8")
    again = parsed(f"--flagfile={file}")
    assert config_from(again) == config
    assert again["run_dir"].value == "runs/one of mine"


def test_every_option_can_be_set_by_its_flag(flagfile):
    values = {
        flag: another(default, allowed) for flag, default, allowed in Config().options()
    }
    defaults = Config().flag_values()
    assert [name for name in values if values[name] == defaults[name]] == []
    config = config_of(flagfile(flagfile_text(Config.from_flag_values(values), "r")))
    assert config.flag_values() == values


def another(default, allowed):
    """An allowed value that is not the default."""
    if isinstance(default, tuple):
        return (another(default[0], allowed),)
    if isinstance(default, bool):
        return not default
    if allowed.choices:
        return next(choice for choice in allowed.choices if choice != default)
    if isinstance(default, str):
        return default + "_2"
    others = (default + 1, default / 2, default + 0.5)
    return next(x for x in others if x != default and allowed.accepts(x))


def test_the_flags_of_a_run_name_every_option():
    lines = flagfile_text(Config(), "runs/digits").splitlines()
    assert lines[0] == "--run_dir=runs/digits"
    assert "--epsilons=1,2,4,8" in lines
    assert "--nodeterministic" in lines
    assert len(lines) == 1 + len(Config().flag_values())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "runs/digits"),
        (["--seed=1"], "runs/digits"),
        (["--flagfile=flags/cifar100.flags"], "runs/cifar100"),
        (["--flagfile", "flags/cifar100.flags", "--seed=1"], "runs/cifar100"),
        (["-flagfile=cifar100_ce.flags"], "runs/cifar100_ce"),
        (["--flagfile=a.flags", "--flagfile=b.flags"], "runs/b"),
        (["--flagfile="], "runs/digits"),
        (["--flagfile=a.flags", "--flagfile="], "runs/a"),
        (["--flagfile", ""], "runs/digits"),
    ],
)
def test_the_run_folder_is_named_after_the_flagfile(words, expected):
    assert default_run_dir(["train.py", *words], DataConfig("digits")) == expected


def test_two_folders_of_images_have_two_run_folders():
    argv = ["train.py", "--flagfile=flags/folder.flags"]
    for folder, expected in (("a/cats", "cats"), ("b/dogs/", "dogs"), ("~/c", "c")):
        data = DataConfig("folder", data_dir=folder)
        assert default_run_dir(argv, data) == f"runs/folder-{expected}"
        assert default_run_dir(argv[:1], data) == f"runs/folder-{expected}"


def test_words_that_belong_to_no_flag_can_be_taken_by_a_command():
    values = new_flags()
    define_config(values)
    words = parse_words(values, ["tiny", "runs/a", "--seed=3", "runs/b"], USAGE)
    assert words == ["runs/a", "runs/b"]
    assert values["seed"].value == 3


def test_only_evaluation_flags_that_were_given_are_returned():
    base = EvaluationConfig(attacks=("pgd",), limit=9)
    for words, expected in [
        ([], {}),
        (["--limit=9"], {"limit": 9}),
        (["--epsilons=8", "--norm=l2"], {"epsilons": (8.0,), "norm": "l2"}),
    ]:
        values = new_flags()
        define_options(values, base)
        parse(values, ["tiny", *words], USAGE)
        assert evaluation_from(values, base) == expected
        assert values["attacks"].value == ("pgd",)


def test_two_commands_do_not_share_flags():
    first, second = new_flags(), new_flags()
    define_config(first)
    assert "seed" in first
    assert "seed" not in second
    assert "seed" not in flags.FLAGS


@pytest.mark.parametrize(
    ("words", "code"), [(["--help"], 0), (["--bach_size=3"], 2), (["--seed=3"], 0)]
)
def test_a_process_answers_at_once_and_without_tensorflow(words, code):
    for _ in range(6):
        start = time.perf_counter()
        process = run_process(*words)
        seconds = time.perf_counter() - start
        if seconds < 3:
            break
    assert process.returncode == code, process.stderr
    assert "Traceback" not in process.stderr
    assert process.stderr.count("\n") == (0 if code == 0 else 1)
    assert seconds < 3


def test_a_process_prints_the_config_its_flags_describe():
    process = run_process("--seed=3", "--epsilons=0.5")
    config = Config.from_json(process.stdout)
    assert config == Config.from_flag_values({"seed": 3, "epsilons": (0.5,)})
    assert json.loads(process.stdout)["seed"] == 3


def test_the_flags_of_a_run_keep_every_digit_of_a_list():
    config = Config.from_flag_values({"epsilons": (0.12345678,)})
    assert "--epsilons=0.12345678" in flagfile_text(config, "r").splitlines()


def test_help_writes_bounds_with_every_digit(answer):
    output = " ".join(answer("--help")[1].split())
    assert "(at least 0 and at most 2147483647)" in output
    assert "(at least 0 and below 1)" in output


def test_a_flagfile_that_is_no_text_is_named(tmp_path, answer):
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\xff")
    assert answer(f"--flagfile={picture}") == (
        2,
        "",
        f"error: --flagfile must be a text file. Received: '{picture}'\n",
    )


@pytest.mark.parametrize("through_another", [False, True])
def test_a_flagfile_that_reads_itself_is_named(
    flagfile, tmp_path, answer, through_another
):
    again = flagfile("", "first.flags")
    word = flagfile(f"{again}\n", "second.flags") if through_another else again
    flagfile(f"--seed=3\n{word}\n", "first.flags")
    assert answer(again) == (
        2,
        "",
        "error: --flagfile must not lead to itself. "
        f"Received: '{tmp_path / 'first.flags'}'\n",
    )


def test_a_flagfile_may_be_read_twice_by_one_that_is_not_itself(flagfile):
    shared = flagfile("--seed=3\n", "shared.flags")
    middle = flagfile(f"{shared}\n--width=8\n", "middle.flags")
    outer = flagfile(f"{shared}\n--seed=5\n{middle}\n", "outer.flags")
    config = config_of(outer)
    assert (config.seed, config.model.width) == (3, 8)


def test_a_comment_in_a_flagfile_may_be_indented(flagfile):
    assert config_of(flagfile("--seed=3\n  # why three\n\t// or four\n")).seed == 3


def test_an_empty_flagfile_name_reads_nothing():
    assert config_of("--flagfile=") == Config()


def test_words_after_two_dashes_are_no_flagfile(answer):
    code, _, error = answer("--", "--flagfile=missing.flags")
    assert code == 2
    assert "words that belong to no flag" in error


PRINTING = """
import sys
from pathlib import Path
from supcon_tf.commands.flags import new_flags, parse, run_command

def main(argv):
    parse(new_flags(), argv, "usage: " + "tiny " * 100_000)
    # More than a pipe holds, so that its reader is waited for.
    print("an epoch" * 100_000, flush=True)
    with open(argv[1].removeprefix("--flagfile="), "a") as file:
        file.write(str(file.fileno()))
    print("another", sys.stdout.isatty(), "\u00b1")

run_command(main, ["tiny", *sys.argv[1:]])
"""


@pytest.mark.parametrize(
    ("redirection", "words", "code", "error"),
    [
        ("| head -c 5 >/dev/null", [], 0, "error: nothing reads the output any more."),
        ("| true", ["--help"], 0, ""),
        (">&-", [], 0, ""),
        ("<&- >&- 2>&-", [], 0, ""),
    ],
)
def test_a_command_may_print_to_what_is_closed(
    tmp_path, redirection, words, code, error
):
    log = tmp_path / "log"
    log.touch()
    words = [sys.executable, "-c", PRINTING, f"--flagfile={log}", *words]
    done = subprocess.run(
        ["bash", "-c", f"{shlex.join(words)} {redirection}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert done.stderr.startswith(error)
    assert done.stderr.count("\n") == bool(error)
    # What a program writes into files must not meet what is printed.
    if redirection.endswith("&-"):
        assert int(log.read_text()) > 2


def test_a_terminal_without_a_character_gets_an_escape(monkeypatch, capsysbinary):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit) as end:
        run_command(lambda _: print("\u00b1"), ["tiny"])
    assert end.value.code == 0
    assert stream.buffer.getvalue() == b"\\xb1\n"
