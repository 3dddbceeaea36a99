"""Parts of an evaluation, made on a model as it is."""

from supcon_tf.evaluation.batches import target_of
from supcon_tf.evaluation.checks.run import run_checks
from supcon_tf.evaluation.robustness import measure_robustness
from supcon_tf.evaluation.session import EvaluationSession


def session_of(split, config, source=None, **settings):
    source = None if source is None else target_of(source, split)
    return EvaluationSession(split, config, source=source, **settings)


def measured_on(model, split, config, **settings):
    session = session_of(split, config, **settings)
    return measure_robustness(target_of(model, split), session)


def checked(model, split, config, **settings):
    session = session_of(split, config, **settings)
    return run_checks(target_of(model, split), session)
