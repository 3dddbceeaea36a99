"""The ensemble whose figure robust models are ranked by."""

import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.apgd import APGD
from supcon_tf.attacks.attack import Attack
from supcon_tf.attacks.fab import FAB
from supcon_tf.attacks.inputs import Inputs
from supcon_tf.attacks.square import Square
from supcon_tf.attacks.target import Target
from supcon_tf.errors import UserError

VERSIONS = ("standard", "plus", "rand")


class AutoAttack(Attack):
    """AutoAttack: one attack after the other on the images that still stand.

    "standard", of which RobustBench's figures are made: APGD on cross-entropy, APGD
    towards nine targets, FAB towards nine targets, Square with 5,000 queries. "plus":
    more restarts and the untargeted attacks too. "rand": for models that answer at
    random, APGD with gradients averaged over twenty passes.

    Each attack's image is tried once more, and it is this answer that counts. Images
    that stand are returned as they were given. Where the model has fewer than ten
    classes, all wrong ones are targets.

    Args:
        epsilon: radius of the ball in [0, 1] pixel units.
        norm: "linf" or "l2".
        version: "standard", "plus" or "rand".
        seed: of all random numbers.

    Raises:
        UserError: if a value is not allowed, or, on a call, if the model has fewer than
            four classes ("rand": three).

    Example:

    ```python
    import keras, numpy as np
    from supcon_tf.attacks import AutoAttack

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    images, labels = np.random.rand(8, 4, 4, 1), np.arange(8) % 10
    accuracy = AutoAttack(epsilon=0.3).survivors(model, images, labels).mean()
    ```

    Reference:
        Croce and Hein 2020, arXiv 2003.01690; github.com/fra31/auto-attack.
    """

    losses = ("dlr", "dlr_targeted")

    def __init__(
        self,
        *,
        epsilon: float = 8 / 255,
        norm: str = "linf",
        version: str = "standard",
        seed: int = 0,
    ) -> None:
        if version not in VERSIONS:
            raise UserError(
                f"version must be one of {', '.join(VERSIONS)}. Received: {version!r}"
            )
        # The loss that needs most classes of all.
        loss = "dlr" if version == "rand" else "dlr_targeted"
        super().__init__(epsilon=epsilon, norm=norm, loss=loss, seed=seed)
        self.version = version
        self.members = _members(version, epsilon=epsilon, norm=norm, seed=seed)

    def stages(self) -> dict[str, Attack]:
        return {name: self._only(name) for name in self.members}

    def _only(self, member: str) -> Self:
        other = copy.copy(self)
        other.members = {member: self.members[member]}
        return other

    def with_epsilon(self, epsilon: float) -> Self:
        other = super().with_epsilon(epsilon)
        other.members = {
            name: member.with_epsilon(epsilon) for name, member in self.members.items()
        }
        return other

    def run(
        self,
        target: Target,
        inputs: Inputs,
        *,
        batch_size: int,
        early_stop: bool,
        known_right: bool = False,
        result: np.ndarray | None = None,
    ) -> np.ndarray:
        if known_right:
            fooled = np.zeros(len(inputs), bool)
        else:
            fooled = self._fooled(target, inputs, batch_size)
        for member in self.members.values():
            rows = np.flatnonzero(~fooled)
            standing = inputs.take(rows)
            images = standing.images.copy()
            member.run(
                target,
                standing,
                batch_size=batch_size,
                early_stop=True,
                known_right=True,
                result=images,
            )
            fell = self._fooled(target, replace(standing, images=images), batch_size)
            fooled[rows[fell]] = True
            if result is not None:
                result[rows[fell]] = images[fell]
        return fooled

    def cost(self, classes: int) -> int:
        return sum(member.cost(classes) for member in self.members.values())

    def parameters(self) -> dict[str, Any]:
        members = self.members.items()
        return {
            "version": self.version,
            "seed": self.seed,
            "members": [
                {"name": name, **member.parameters()} for name, member in members
            ],
        }

    def _fooled(self, target: Target, inputs: Inputs, batch_size: int) -> np.ndarray:
        """(N,) whether the model gets the images wrong as they are."""
        fooled = np.zeros(len(inputs), bool)
        for start in range(0, len(inputs), batch_size):
            rows = slice(start, start + batch_size)
            images = tf.constant(inputs.images[rows])
            judged = target.judge(images, inputs.labels[rows], self.objective)
            fooled[rows] = judged.fooled
        return fooled


def _members(version: str, **ball: Any) -> dict[str, Attack]:
    if version == "rand":
        return {
            "apgd_ce": APGD(loss="ce", eot_iter=20, **ball),
            "apgd_dlr": APGD(loss="dlr", eot_iter=20, **ball),
        }
    targeted = {"apgd_t": APGD(loss="dlr_targeted", **ball), "fab_t": FAB(**ball)}
    square = {"square": Square(queries=5000, schedule="raw", **ball)}
    if version == "standard":
        return {"apgd_ce": APGD(loss="ce", **ball), **targeted, **square}
    return {
        "apgd_ce": APGD(loss="ce", restarts=5, **ball),
        "apgd_dlr": APGD(loss="dlr", restarts=5, **ball),
        "fab": FAB(targets=None, restarts=5, **ball),
        **square,
        **targeted,
    }
