"""What made a model's weights: its stages, and those of the runs that it began from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supcon_tf.config import FINAL, Config
from supcon_tf.errors import UserError
from supcon_tf.results.markdown import plain
from supcon_tf.runs.files import write_text
from supcon_tf.runs.run_folder import RunFolder

# Written when the weights are taken: the other run may change, or go, afterwards.
RECORD = "init_from.json"
# The stage whose model another run may begin from.
_FIRST = Config.stage_names()[0]


def pretrained_file(run_dir: str) -> Path:
    """The model of another run that `--init_from` begins from.

    Raises:
        UserError: if there is none.
    """
    other = RunFolder(run_dir)
    for path in (other.stage_model_file(_FIRST), other.model_file):
        if path.exists():
            return path
    raise UserError(
        f"--init_from must be a run folder with a pretrained model. Received: {run_dir}"
    )


def record_origin(folder: RunFolder, config: Config) -> None:
    """Keeps the history of the run that a run begins from, as it is now."""
    record = folder.path / RECORD
    # A record of before anything was trained may be of another --init_from.
    known = record.exists() and folder.has_trained()
    if config.init_from and not known:
        write_text(record, json.dumps(_origin(config.init_from), indent=2) + "\n")


def history_of(folder: RunFolder, config: Config, model: str = FINAL) -> dict[str, Any]:
    """How a model of a run came about.

    Args:
        folder: the run's.
        config: the run's.
        model: "final", or the stage that it is of.

    Returns:
        `recipe`, the settings of each stage by its name, `dataset`, `seed`, and
        `init_from`: None, or the `run` that it began from with the same three keys,
        whose `recipe` is None where that run is no longer known.
    """
    return _history(folder, config, model, frozenset())


def history_lines(history: Mapping[str, Any]) -> list[str]:
    """A line of Markdown for each stage, from the first that made the weights on."""
    return [f"{title}: {_settings(part)}" for title, part in _chain(history)]


def history_sentence(history: Mapping[str, Any]) -> str:
    """The stages in a few words: epochs, losses, and what is not usual."""
    return ", ".join(f"{title} ({_losses(part)})" for title, part in _chain(history))


Part = Mapping[str, Any] | None


def _chain(history: Mapping[str, Any], run: str = "") -> list[tuple[str, Part]]:
    """Name and settings of each stage, those of earlier runs first."""
    begun = history["init_from"]
    earlier = _chain(begun, begun["run"]) if begun else []
    if history["recipe"] is None:
        return [*earlier, (f"training of {plain(run)}", None)]
    of = f" of {plain(run)} on {plain(history['dataset'])}" if run else ""
    return earlier + [(f"{name}{of}", part) for name, part in history["recipe"].items()]


def _losses(part: Part) -> str:
    if part is None:
        return "not known any more"
    losses = " + ".join(f"{w:g} {name}" for name, w in part["loss_weights"].items())
    epochs = f"{part['epochs']} epoch{'s' * (part['epochs'] > 1)}"
    views = f", {part['views']} views" if part["views"] > 1 else ""
    frozen = ", encoder frozen" if part["freeze_encoder"] else ""
    return f"{epochs}: {losses}{views}{frozen}{_against(part)}"


def _against(part: Mapping[str, Any]) -> str:
    """The attack that a stage was trained against, in words; empty without one."""
    adversary = part.get("adversary")
    if not adversary:
        return ""
    method, best = adversary["method"], adversary["best_epoch"]
    steps = f"-{adversary['steps']}" if method == "pgd" else ""
    kept = f", the model of epoch {best['epoch']}" if best else ""
    under = f" ({best['robust_accuracy']:.1%} under PGD)" if best else ""
    return (
        f", on images of {method}{steps} at {adversary['epsilon_255']:g}/255{kept}"
        f"{under}"
    )


def _settings(part: Part) -> str:
    if part is None:
        return _losses(part)
    text = (
        f"{_losses(part)}, learning rate up to {part['learning_rate']:g} "
        f"({part['schedule']}), augmentation {part['augmentation']}"
    )
    if part.get("label_smoothing"):
        text += f", label smoothing {part['label_smoothing']:g}"
    if part.get("ema_decay"):
        text += f", weights averaged with decay {part['ema_decay']:g}"
    return text


def _history(
    folder: RunFolder, config: Config, model: str, within: frozenset[Path]
) -> dict[str, Any]:
    names = config.stage_names()
    if model != FINAL:
        names = names[: names.index(model) + 1]
    return {
        "dataset": config.data.dataset,
        "seed": config.seed,
        "recipe": {
            n: _stage(folder, config, n) for n, _ in config.stages() if n in names
        },
        "init_from": _begun_from(folder, config, within),
    }


def _begun_from(
    folder: RunFolder, config: Config, within: frozenset[Path]
) -> dict[str, Any] | None:
    if not config.init_from:
        return None
    try:
        return json.loads((folder.path / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # A run of before the record was kept.
        return _origin(config.init_from, within)


def _origin(run_dir: str, within: frozenset[Path] = frozenset()) -> dict[str, Any]:
    folder = RunFolder(run_dir)
    path = folder.path.resolve()
    unknown = dict.fromkeys(("dataset", "seed", "recipe", "init_from"))
    try:
        # A folder that was used again may by now begin from a run that began from it.
        if path in within:
            return {"run": run_dir, **unknown}
        file = pretrained_file(run_dir)
        model = FINAL if file == folder.model_file else _FIRST
        known = _history(folder, folder.config(), model, within | {path})
        return {"run": run_dir, **known}
    except UserError:
        return {"run": run_dir, **unknown}


def _stage(folder: RunFolder, config: Config, name: str) -> dict[str, Any]:
    stage, shared = config.stage(name), config.schedule_of(name)
    leader = config.stage(shared.leader)
    number = "both" if shared.stages == 2 else str(shared.stages)
    over = f" over {number} stages" if shared.stages > 1 else ""
    return {
        "epochs": stage.epochs,
        "loss_weights": stage.loss_weights,
        "learning_rate": leader.learning_rate,
        "schedule": leader.schedule + over,
        "augmentation": stage.augmentation,
        "views": stage.views,
        "freeze_encoder": stage.freeze_encoder,
        "label_smoothing": stage.label_smoothing,
        "ema_decay": config.ema_decay,
        "adversary": _adversary(folder, config, name),
    }


def _adversary(folder: RunFolder, config: Config, name: str) -> dict[str, Any] | None:
    stage, constants = config.stage(name), config.adversary
    if stage.adversary == "none":
        return None
    return {
        "method": stage.adversary,
        "epsilon_255": constants.adversary_epsilon,
        "steps": constants.adversary_steps if stage.adversary == "pgd" else 1,
        "contrastive_views": stage.contrastive_views,
        "best_epoch": _best_epoch(folder, name),
    }


def _best_epoch(folder: RunFolder, name: str) -> dict[str, Any] | None:
    """The epoch whose model a stage kept, which is the last of the best."""
    lines = [line for line in folder.metrics() if line["stage"] == name]
    judged = [line for line in lines if "robust_accuracy" in line]
    if not judged:
        return None
    best = max(judged, key=lambda line: (line["robust_accuracy"], line["epoch"]))
    return {key: best[key] for key in ("epoch", "robust_accuracy")}
