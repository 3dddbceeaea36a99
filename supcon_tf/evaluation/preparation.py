"""What an evaluation needs before any model is loaded, refused if it can't be had."""

import dataclasses
from collections.abc import Sequence

from supcon_tf.attacks import Target
from supcon_tf.config import Config, EvaluationConfig
from supcon_tf.data import ImageData, Split
from supcon_tf.data.splits import balanced_sample
from supcon_tf.errors import UserError
from supcon_tf.evaluation.attack_factory import refuse_impossible_attacks
from supcon_tf.evaluation.attacked_model import for_attacks
from supcon_tf.evaluation.batches import target_of
from supcon_tf.evaluation.compatibility import check_fits
from supcon_tf.evaluation.findings import ModelFile, versions
from supcon_tf.evaluation.finished_parts import FinishedParts, file_digest
from supcon_tf.evaluation.session import EvaluationSession
from supcon_tf.models import load_model
from supcon_tf.runs.run_folder import RunFolder


def open_session(config: Config, data: ImageData) -> EvaluationSession:
    """What an evaluation of models on some data needs, before any of them is loaded.

    Raises:
        UserError: if the split to attack is empty, or an attack can't be made.
    """
    split = chosen_split(data, config)
    source = transfer_source(config.evaluation, data)
    refuse_impossible_attacks(config.evaluation, config.seed, source, data.num_classes)
    return EvaluationSession(
        split,
        config.evaluation,
        seed=config.seed,
        train=data.train,
        source=source,
        deterministic=config.deterministic,
    )


def chosen_split(data: ImageData, config: Config) -> Split:
    """The images that `--split` and `--limit` choose."""
    settings = config.evaluation
    split = data.test if settings.split == "test" else data.validation
    if split is None:
        raise UserError(
            "--split=validation needs --validation_share above 0. "
            f"Received: {config.data.validation_share:g}"
        )
    if settings.limit and settings.limit < len(split):
        rows = balanced_sample(split.labels, settings.limit, config.data.split_seed)
        split = split.subset(rows)
    return split


def transfer_source(settings: EvaluationConfig, data: ImageData) -> Target | None:
    """The model of `--transfer_from`, as it is attacked.

    Raises:
        UserError: if there is none, or it does not fit the data.
    """
    if not settings.transfer_from:
        return None
    path = RunFolder(settings.transfer_from).model_file
    if not path.is_file():
        raise UserError(
            "--transfer_from must be a run folder with a finished model.keras. "
            f"Received: {settings.transfer_from}"
        )
    model = load_model(path)
    check_fits(model, data, f"--transfer_from={settings.transfer_from}")
    return target_of(for_attacks(model, data.test), data.test)


def keeping_parts(
    session: EvaluationSession,
    destination: RunFolder,
    config: Config,
    data: ImageData,
    models: Sequence[ModelFile],
) -> EvaluationSession:
    """The session with what an evaluation of these models has finished before."""
    files = {model.stage: model.path for model in models}
    if config.evaluation.transfer_from:
        files["source"] = RunFolder(config.evaluation.transfer_from).model_file
    subject = {
        "evaluation": dataclasses.asdict(config.evaluation),
        "data": data.fingerprint.digest,
        "split_seed": config.data.split_seed,
        "seed": config.seed,
        "deterministic": config.deterministic,
        "models": {name: file_digest(path) for name, path in files.items()},
        "versions": versions(),
    }
    parts = FinishedParts(destination.evaluation_parts, subject)
    return dataclasses.replace(session, parts=parts)
