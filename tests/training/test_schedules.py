import math

import pytest

from supcon_tf.training.schedules import WarmupSchedule, schedule_for


def rates(schedule, steps):
    return [float(schedule(step)) for step in range(steps)]


def test_warmup_is_linear_and_cosine_ends_at_zero():
    schedule = WarmupSchedule(peak=1.0, total_steps=14, warmup_steps=4)
    expected = [0.25, 0.5, 0.75, 1.0]
    expected += [0.5 * (1 + math.cos(math.pi * s / 10)) for s in range(10)]
    assert rates(schedule, 14) == pytest.approx(expected, abs=1e-6)
    assert float(schedule(14)) == pytest.approx(0, abs=1e-6)


def test_one_cycle_starts_at_a_twentyfifth_of_the_peak():
    values = rates(WarmupSchedule(0.5, 10, warmup_steps=5, form="one_cycle"), 11)
    assert values[0] == pytest.approx(0.02)
    assert max(values) == pytest.approx(0.5)
    assert values.index(max(values)) == 5
    assert values[10] == pytest.approx(0, abs=1e-6)


def test_constant_stays_at_the_peak_after_warmup():
    values = rates(WarmupSchedule(0.1, 6, warmup_steps=2, form="constant"), 8)
    assert values == pytest.approx([0.05] + [0.1] * 7)


def test_without_warmup_the_first_step_has_the_peak():
    assert float(WarmupSchedule(0.3, 10)(0)) == pytest.approx(0.3)


def test_config_round_trip():
    schedule = WarmupSchedule(0.3, 10, 2, "one_cycle", 4)
    copy = WarmupSchedule.from_config(schedule.get_config())
    assert rates(copy, 6) == rates(schedule, 6)


def test_continue_is_one_schedule_over_both_stages(small_config):
    config = small_config(
        pretrain_epochs=3,
        pretrain_schedule="one_cycle",
        finetune_epochs=2,
        finetune_schedule="continue",
    )
    whole = WarmupSchedule(0.1, 50, warmup_steps=10, form="one_cycle")
    first, second = (
        schedule_for(config, name, 10) for name in ("pretrain", "finetune")
    )
    assert rates(first, 30) + rates(second, 20) == pytest.approx(rates(whole, 50))


def test_warmup_is_cut_to_the_stage(small_config):
    config = small_config(finetune_epochs=2, finetune_warmup_epochs=9.0)
    assert schedule_for(config, "finetune", 5).warmup_steps == 10
