import pytest

from supcon_tf.config import Config
from supcon_tf.runtime import processor
from supcon_tf.training import setup

CPUINFO = """\
processor\t: 0
model name\t: A Processor: the quick one
flags\t\t: fpu {features}

processor\t: 1
model name\t: Another
flags\t\t: fpu none
"""


@pytest.fixture
def has(monkeypatch, tmp_path):
    """Makes the processor one with the given features."""

    def make(features):
        information = tmp_path / "cpuinfo"
        information.write_text(CPUINFO.format(features=features))
        monkeypatch.setattr(processor, "Path", lambda _: information)
        processor.processor_says.cache_clear()

    yield make
    processor.processor_says.cache_clear()


def test_the_first_processor_speaks(has):
    has("avx2 amx_bf16")
    assert processor.processor_says("model name") == "A Processor: the quick one"
    assert processor.processor_says("colour") == ""
    assert processor.processor_features() == {"fpu", "avx2", "amx_bf16"}


def test_a_system_that_does_not_say_has_no_known_features(monkeypatch, has, tmp_path):
    has("avx2")
    monkeypatch.setattr(processor, "Path", lambda _: tmp_path / "missing")
    assert processor.processor_features() == set()
    assert not processor.emulates_bfloat16()


@pytest.mark.parametrize(
    ("features", "emulates"),
    [
        ("avx2", True),
        ("avx2 avx512f avx512_vnni", True),
        ("avx2 avx512f avx512_bf16", False),
        ("avx2 avx512f avx512_bf16 amx_bf16", False),
        ("avx2 avx_ne_convert", False),
        ("asimd bf16", False),
    ],
)
def test_a_run_in_emulated_bfloat16_is_warned_of(
    has, capsys, monkeypatch, features, emulates
):
    has(features)
    monkeypatch.setattr(setup.tf.config, "list_physical_devices", lambda _: [])
    for policy in ("float32", "mixed_bfloat16"):
        setup.prepare_process(Config(dtype_policy=policy))
        warned = emulates and policy == "mixed_bfloat16"
        assert ("only emulates bfloat16" in capsys.readouterr().err) == warned


def test_a_gpu_has_its_own_arithmetic(has, capsys, monkeypatch):
    has("avx2")
    monkeypatch.setattr(setup.tf.config, "list_physical_devices", lambda _: ["GPU"])
    setup.prepare_process(Config(dtype_policy="mixed_bfloat16"))
    assert capsys.readouterr().err == ""
