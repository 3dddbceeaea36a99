import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supcon_tf.config import (
    Config,
    DataConfig,
    EvaluationConfig,
    LossConfig,
    ModelConfig,
    ProjectorConfig,
    StageConfig,
)
from supcon_tf.config.options import options_of
from supcon_tf.errors import UserError

OPTIONS = tuple(Config().options())


def from_flags(**values):
    return Config.from_flag_values(values)


def error_of(**values):
    with pytest.raises(UserError) as error:
        from_flags(**values)
    return str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0}, "--temperature must be above 0. Received: 0"),
        (
            {"temperature": float("nan")},
            "--temperature must be above 0. Received: nan",
        ),
        (
            {"weight_decay": float("inf")},
            "--weight_decay must be at least 0. Received: inf",
        ),
        ({"batch_size": 0}, "--batch_size must be at least 1. Received: 0"),
        (
            {"validation_share": 1.0},
            "--validation_share must be at least 0 and below 1. Received: 1.0",
        ),
        (
            {"test_share": 0.0},
            "--test_share must be above 0 and below 1. Received: 0.0",
        ),
        (
            {"finetune_views": 3},
            "--finetune_views must be at least 1 and at most 2. Received: 3",
        ),
        (
            {"pretrain_learning_rate": -0.1},
            "--pretrain_learning_rate must be above 0. Received: -0.1",
        ),
        ({"stem": "big"}, "--stem must be one of small, imagenet. Received: 'big'"),
        (
            {"epsilons": (1.0, 0.0)},
            "--epsilons must be above 0 and at most 255. Received: 0.0",
        ),
        (
            {"attacks": ("fgsm", "cw")},
            "--attacks must be one of fgsm, pgd, pgd_cw, pgd_dlr, noise, transfer, "
            "square, apgd_ce, apgd_t, fab_t, square_5000, autoattack. Received: 'cw'",
        ),
        (
            {"deterministic": "yes"},
            "--deterministic must be of type bool. Received: 'yes'",
        ),
        ({"dataset": 10}, "--dataset must be of type str. Received: 10"),
        (
            {"attacks": "fgsm"},
            "--attacks must be a tuple (a list in JSON). Received: 'fgsm'",
        ),
        (
            {"attacks": ["fgsm"]},
            "--attacks must be a tuple (a list in JSON). Received: ['fgsm']",
        ),
        ({"epsilons": ()}, "--epsilons must not be empty. Received: ()"),
        (
            {"epsilons": (4.0, 8, 8.0)},
            "--epsilons must hold each value once. Received: (4.0, 8, 8.0)",
        ),
        (
            {"attacks": ("fgsm", "fgsm")},
            "--attacks must hold each value once. Received: ('fgsm', 'fgsm')",
        ),
        ({"batch_size": 1.5}, "--batch_size must be a whole number. Received: 1.5"),
        ({"batch_size": True}, "--batch_size must be a whole number. Received: True"),
        (
            {"seed": 2**31},
            "--seed must be at least 0 and at most 2147483647. Received: 2147483648",
        ),
    ],
)
def test_an_error_names_the_flag_what_is_allowed_and_the_value(values, message):
    assert error_of(**values) == message


def test_every_bounded_option_refuses_what_is_out_of_its_range():
    refused = 0
    for flag, default, allowed in OPTIONS:
        step = 1 if isinstance(_item(default), int) else 1e-6
        wrong = ["no such choice"] if allowed.choices else []
        wrong += [
            limit for limit in (allowed.above, allowed.below) if limit is not None
        ]
        wrong += [] if allowed.minimum is None else [allowed.minimum - step]
        wrong += [] if allowed.maximum is None else [allowed.maximum + step]
        assert bool(wrong) == bool(allowed.describe()), flag
        for value in wrong:
            message = error_of(**{flag: _like(default, value)})
            expected = f"--{flag} must be {allowed.describe()}. Received: {value!r}"
            assert message == expected
            refused += 1
    assert refused > len(OPTIONS) / 2


def test_every_option_refuses_a_value_of_another_type():
    for flag, default, _ in OPTIONS:
        item = _item(default)
        others = [None, 7] if isinstance(item, str | bool) else [None, "7", True]
        for value in others:
            message = error_of(**{flag: _like(default, value)})
            assert message.startswith(f"--{flag} must be ")
            assert message.endswith(f". Received: {value!r}")
            assert "\n" not in message


def test_every_option_has_a_help_text_and_an_allowed_default():
    for flag, default, allowed in OPTIONS:
        assert len(allowed.help) >= 10, flag
        assert default is not None, flag
        assert all(allowed.accepts(item) for item in _items(default)), flag


def _items(default):
    return default if isinstance(default, tuple) else (default,)


def _item(default):
    return _items(default)[0]


def _like(default, value):
    return (value,) if isinstance(default, tuple) else value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"positive_margin": 0.2, "negative_margin": 0.2},
            "--positive_margin must be above --negative_margin. Received: 0.2 and 0.2",
        ),
        ({"dataset": ""}, "--dataset must not be empty. Received: ''"),
        (
            {"projector_images": 1},
            "--projector_images must be 0 or at least 2. Received: 1",
        ),
        (
            {"dataset": "folder"},
            "--dataset=folder needs --data_dir. Received: --data_dir=''",
        ),
        (
            {"batch_size": 100, "classes_per_batch": 8},
            "--classes_per_batch must divide --batch_size evenly. Received: 8 and 100",
        ),
        (
            {"pretrain_schedule": "continue"},
            "--pretrain_schedule must be one of constant, cosine, one_cycle. "
            "Received: 'continue'",
        ),
        (
            {"pretrain_epochs": 0, "finetune_epochs": 0},
            "--pretrain_epochs or --finetune_epochs must be above 0. Received: 0 and 0",
        ),
        (
            {"attacks": ("fgsm", "transfer")},
            "--attacks=transfer needs --transfer_from=RUN_FOLDER. "
            "Received: --transfer_from=''",
        ),
        (
            {"finetune_cross_entropy_weight": 0.0, "finetune_margin_weight": 0.0},
            "--finetune_cross_entropy_weight, --finetune_supcon_weight, "
            "--finetune_margin_weight or --finetune_hinge_weight must be above 0. "
            "Received: all 0",
        ),
        (
            {"pretrain_freeze_encoder": True},
            "--pretrain_freeze_encoder leaves --pretrain_supcon_weight nothing to "
            "train (--contrastive_input=features). Received: True and 1",
        ),
    ],
)
def test_flags_that_contradict_each_other_are_refused(values, message):
    assert error_of(**values) == message


@pytest.mark.parametrize(
    "values",
    [
        {"dataset": "folder", "data_dir": "images"},
        {"projector_images": 2},
        {"batch_size": 96, "classes_per_batch": 8},
        {"finetune_schedule": "continue"},
        {"pretrain_epochs": 0},
        {"finetune_epochs": 0},
        {"attacks": ("transfer",), "transfer_from": "other"},
        {"pretrain_freeze_encoder": True, "contrastive_input": "projection"},
        {"finetune_freeze_encoder": True, "finetune_margin_weight": 0.0},
        # What a skipped stage would do does not matter.
        {"finetune_epochs": 0, "finetune_freeze_encoder": True},
        {
            "finetune_epochs": 0,
            "finetune_cross_entropy_weight": 0.0,
            "finetune_margin_weight": 0.0,
        },
        {"learning_rate_of_nobody": 1},
    ],
)
def test_flags_that_do_not_contradict_are_accepted(values):
    known = Config().flag_values().keys() & values.keys()
    given_back = from_flags(**values).flag_values()
    assert {name: given_back[name] for name in known} == {
        name: values[name] for name in known
    }


def test_loss_weights_are_those_above_zero():
    stage = StageConfig(cross_entropy_weight=0, supcon_weight=2, hinge_weight=0.5)
    assert stage.loss_weights == {"supcon": 2.0, "hinge": 0.5}


def test_a_config_cannot_be_changed():
    config = Config()
    for section, name in [(config, "seed"), (config.model, "width")]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(section, name, 3)


SOME_FLAGS = st.fixed_dictionaries(
    {},
    optional={
        "dataset": st.sampled_from(["digits", "cifar100"]),
        "data_dir": st.text(max_size=20),
        "cache_gib": st.floats(0, 1e6),
        "validation_share": st.floats(0, 1, exclude_max=True),
        "width": st.integers(1, 1024),
        "stem": st.sampled_from(["small", "imagenet"]),
        "temperature": st.floats(0, 1e3, exclude_min=True),
        "pretrain_epochs": st.integers(1, 10**6),
        "pretrain_warmup_epochs": st.floats(0, 1e9),
        "finetune_views": st.integers(1, 2),
        "finetune_freeze_encoder": st.just(False),
        "finetune_augmentation": st.sampled_from(["none", "simclr"]),
        "deterministic": st.booleans(),
        "seed": st.integers(0, 2**31 - 1),
        "attacks": st.lists(
            st.sampled_from(["fgsm", "pgd", "square"]), min_size=1, unique=True
        ).map(tuple),
        "epsilons": st.lists(
            st.floats(0, 255, exclude_min=True), min_size=1, max_size=4, unique=True
        ).map(tuple),
    },
)


@settings(deadline=None)
@given(values=SOME_FLAGS)
def test_flag_values_and_json_give_the_config_back(values):
    config = Config.from_flag_values(values)
    flags = config.flag_values()
    assert {name: flags[name] for name in values} == values
    defaults = Config().flag_values()
    assert {name for name in flags if flags[name] != defaults[name]} <= values.keys()
    assert Config.from_flag_values(flags) == config
    assert Config.from_json(config.to_json()) == config


@settings(deadline=None)
@given(left=SOME_FLAGS, right=SOME_FLAGS)
def test_configs_are_equal_if_their_flag_values_are(left, right):
    left, right = Config.from_flag_values(left), Config.from_flag_values(right)
    assert (left == right) == (left.flag_values() == right.flag_values())


def test_flag_values_keep_the_stages_apart():
    config = from_flags(pretrain_epochs=7, finetune_epochs=3)
    assert (config.pretrain.epochs, config.finetune.epochs) == (7, 3)
    assert config.flag_values()["pretrain_epochs"] == 7
    assert config.flag_values()["finetune_epochs"] == 3
    assert "epochs" not in config.flag_values()


def test_no_flag_belongs_to_two_sections():
    names = [flag for flag, _, _ in OPTIONS]
    assert len(names) == len(set(names)) == len(Config().flag_values())


def test_json_is_readable_and_has_every_option():
    values = json.loads(Config().to_json())
    assert values["batch_size"] == 128
    assert values["finetune"]["margin_weight"] == 1.0
    assert values["evaluation"]["attacks"] == ["fgsm"]
    leaves = [
        value
        for part in values.values()
        for value in (part.values() if isinstance(part, dict) else [part])
    ]
    assert len(leaves) == len(Config().flag_values())


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"temprature": 1}', "temprature"),
        ('{"model": {"depth": 50}}', "depth"),
        ('{"model": 3}', "config"),
        ("[]", "config"),
        ("{", "config"),
        ("", "config"),
        ('{"loss": {"temperature": -1}}', "--temperature must be above 0"),
        ('{"loss": {"temperature": null}}', "--temperature must be above 0"),
        (
            '{"evaluation": {"attacks": "fgsm"}}',
            "--attacks must be a tuple (a list in JSON)",
        ),
        ('{"evaluation": {"attacks": ["cw"]}}', "--attacks must be one of fgsm, "),
    ],
)
def test_json_that_is_no_config_is_refused_in_one_line(text, names):
    with pytest.raises(UserError) as error:
        Config.from_json(text)
    assert names in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("data_dir", "elsewhere"),
        ("cache_gib", 0.5),
        ("strategy", "mirrored"),
        ("virtual_devices", 2),
        ("log_format", "json"),
        ("attacks", ("pgd",)),
        ("epsilons", (0.5,)),
        ("norm", "l2"),
        ("pgd_steps", 3),
        ("checks_limit", 0),
        ("projector_every", 2),
        ("projector_images", 0),
    ],
)
def test_what_leaves_the_weights_alone_may_change(flag, value):
    assert Config().changed_weight_fields(from_flags(**{flag: value})) == []


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("dataset", "cifar10"),
        ("limit_train", 100),
        ("validation_share", 0.0),
        ("split_seed", 1),
        ("width", 32),
        ("stem", "imagenet"),
        ("contrastive_input", "projection"),
        ("temperature", 0.2),
        ("positive_margin", 0.9),
        ("pretrain_epochs", 11),
        ("finetune_learning_rate", 0.5),
        ("finetune_freeze_encoder", False),
        ("init_from", "other"),
        ("seed", 1),
        ("deterministic", True),
        ("dtype_policy", "float64"),
        ("batch_size", 64),
        ("weight_decay", 0.0),
    ],
)
def test_what_changes_the_weights_is_named(flag, value):
    config = from_flags(finetune_freeze_encoder=True, finetune_margin_weight=0.0)
    values = {**config.flag_values(), flag: value}
    changed = Config.from_flag_values(values)
    assert config.changed_weight_fields(changed) == [flag]
    assert changed.changed_weight_fields(config) == [flag]


@pytest.mark.parametrize(
    ("flag", "value", "stages"),
    [
        ("finetune_margin_weight", 3.0, ["pretrain"]),
        ("finetune_epochs", 7, ["pretrain"]),
        ("finetune_schedule", "continue", []),
        ("pretrain_epochs", 3, []),
        ("pretrain_augmentation", "none", []),
        ("seed", 1, []),
        ("temperature", 0.2, []),
        ("validation_share", 0.3, []),
        # The same weights but for rounding, or crops of other pixels.
        ("strategy", "mirrored", []),
        ("cache_gib", 1.0, []),
        ("pgd_steps", 3, ["pretrain", "finetune"]),
        ("limit_evaluation", 100, ["pretrain", "finetune"]),
    ],
)
def test_a_stage_trains_alike_if_all_before_its_end_is_the_same(flag, value, stages):
    one, other = Config(), Config.from_flag_values({flag: value})
    found = [name for name in Config.stage_names() if one.trains_alike(other, name)]
    assert found == stages
    assert one.trains_alike(Config(), "finetune")


def test_a_schedule_that_goes_on_is_part_of_the_stage_before():
    one, other = (
        Config.from_flag_values({"finetune_schedule": "continue", **flags})
        for flags in ({}, {"finetune_margin_weight": 3.0})
    )
    longer = Config.from_flag_values(
        {"finetune_schedule": "continue", "finetune_epochs": 9}
    )
    assert one.trains_alike(other, "pretrain")
    assert not one.trains_alike(longer, "pretrain")


def test_all_changed_fields_are_named():
    other = from_flags(seed=1, width=32, pretrain_views=2, attacks=("pgd",))
    assert Config().changed_weight_fields(other) == ["seed", "width", "pretrain_views"]
    assert Config().changed_weight_fields(Config()) == []


def test_each_section_validates_itself():
    for prefix, section in Config().sections():
        field = next(field for field, _ in options_of(section))
        with pytest.raises(UserError, match=f"--{field.name} must be "):
            dataclasses.replace(section, **{field.name: None})
        message = error_of(**{prefix + field.name: None})
        assert message.startswith(f"--{prefix}{field.name} must be ")


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (EvaluationConfig, {"attacks": ("pdg",)}, "--attacks must be one of"),
        (DataConfig, {"dataset": "folder"}, "needs --data_dir"),
        (LossConfig, {"negative_margin": 0.9}, "must be above --negative_margin"),
        (ProjectorConfig, {"projector_images": 1}, "must be 0 or at least 2"),
    ],
)
def test_what_contradicts_within_a_section_is_refused_there(section, values, message):
    with pytest.raises(UserError, match=message):
        section(**values)


def test_only_the_evaluation_has_flags_that_change_it_alone():
    for _, section in Config().sections():
        changed = {allowed.changes for _, allowed in options_of(section)}
        evaluation = isinstance(section, EvaluationConfig)
        assert changed <= ({"evaluation"} if evaluation else {"weights", "nothing"})


def test_sections_can_be_given_in_python():
    config = Config(model=ModelConfig(width=8), evaluation=EvaluationConfig(limit=9))
    assert config == from_flags(width=8, limit=9)


def test_what_json_leaves_out_stays_at_the_default_of_a_run():
    assert Config.from_json("{}") == Config()
    partial = Config.from_json('{"finetune": {"epochs": 3}}')
    assert partial == from_flags(finetune_epochs=3)
