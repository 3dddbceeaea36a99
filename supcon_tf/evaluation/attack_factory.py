"""Attacks made from their names on the command line."""

import keras

from supcon_tf import attacks
from supcon_tf.attacks import Target, Transfer
from supcon_tf.attacks.attack import Attack
from supcon_tf.config import ATTACKS, EvaluationConfig
from supcon_tf.config.attacks import NAMED_ATTACKS
from supcon_tf.errors import UserError


def make_attack(
    name: str,
    strength: float,
    config: EvaluationConfig,
    seed: int = 0,
    source: keras.Model | Target | None = None,
) -> Attack:
    """The attack that a name on the command line stands for.

    Args:
        name: one of `supcon_tf.config.ATTACKS`.
        strength: epsilon as on the command line: in 1/255 for linf, in pixel units
            for l2.
        config: norm, steps and restarts.
        seed: of its random numbers.
        source: the model that the transfer attack is made on.

    Raises:
        UserError: if there is no such attack, or it can't be made so.
    """
    if name not in NAMED_ATTACKS:
        raise UserError(f"it must be one of {', '.join(ATTACKS)}. Received: {name!r}")
    named = NAMED_ATTACKS[name]
    given = {
        "epsilon": pixel_units(strength, config.norm),
        "norm": config.norm,
        **named.constants,
        **{key: getattr(config, option) for key, option in named.settings.items()},
    }
    if named.seeded:
        given["seed"] = seed
    if not named.on_source:
        return getattr(attacks, named.kind)(**given)
    if source is None:
        raise UserError("it needs a source model. Received: source=None")
    return Transfer(getattr(attacks, named.kind)(**given), source)


def refuse_impossible_attacks(
    config: EvaluationConfig,
    seed: int = 0,
    source: keras.Model | Target | None = None,
    classes: int | None = None,
) -> None:
    """Makes every attack once, so that none is refused after the others have run.

    Raises:
        UserError: naming the attack and what is wrong with it, such as that it needs
            more than this number of classes.
    """
    for name in config.attacks:
        for strength in config.epsilons:
            try:
                attack = make_attack(name, strength, config, seed, source)
                if classes is not None:
                    attack.objective.check_classes(classes)
            except UserError as error:
                raise UserError(f"--attacks={name}: {error}") from error


def pixel_units(strength: float, norm: str) -> float:
    """An epsilon of the command line in [0,1] pixel units."""
    return strength / 255 if norm == "linf" else strength
