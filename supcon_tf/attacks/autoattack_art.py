"""The AutoAttack of adversarial-robustness-toolbox, which is not the standard one."""

import copy
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from supcon_tf.attacks.active import ActiveImages
from supcon_tf.attacks.attack import Attack
from supcon_tf.attacks.inputs import Inputs, check_count
from supcon_tf.attacks.search import search
from supcon_tf.attacks.target import Target, logits_function
from supcon_tf.errors import UserError


class AutoAttackART(Attack):
    """The ensemble that adversarial-robustness-toolbox (ART) calls AutoAttack.

    It is NOT the standard AutoAttack of Croce and Hein: its members are untargeted
    (see `members`), there is no targeted APGD and no FAB. Never put its figures beside
    RobustBench's. Each member starts once, as in the standard one; ART's default of
    five starts takes hours. Slow all the same: thousands of passes for every image
    that stands.

    Args:
        epsilon: radius of the ball in [0, 1] pixel units, above 0.
        norm: "linf" or "l2".
        steps: of each APGD; DeepFool takes half as many.
        queries: of the Square attack.
        seed: of NumPy's global generator, which ART draws from; its state is put back
            afterwards. The draws depend on the batch.

    Raises:
        UserError: if a value is not allowed, or, on a call, if ART is not installed
            or the model has fewer than three classes.

    Example:

    ```python
    attack = AutoAttackART(epsilon=8 / 255)
    print(attack.members)
    accuracy = attack.survivors(model, images, labels).mean()
    ```

    Reference:
        Nicolae et al. 2018, arXiv 1807.01069; the standard ensemble: Croce and Hein
        2020, arXiv 2003.01690.
    """

    members = ("apgd_ce", "apgd_dlr", "deepfool", "square")

    def __init__(
        self,
        *,
        epsilon: float = 8 / 255,
        norm: str = "linf",
        steps: int = 100,
        queries: int = 5000,
        seed: int = 0,
    ) -> None:
        # The DLR loss makes the base class refuse fewer than three classes.
        super().__init__(epsilon=epsilon, norm=norm, loss="dlr", seed=seed)
        if self.epsilon == 0:
            raise UserError("epsilon must be above 0. Received: 0")
        self.steps = check_count("steps", steps, minimum=2)
        self.queries = check_count("queries", queries)
        self._estimator: Any = None

    @property
    def tries(self) -> int:
        return 1

    def run(self, target: Target, inputs: Inputs, **settings: Any) -> np.ndarray:
        bound = copy.copy(self)
        bound._estimator = _estimator(target)
        return search(bound, target, inputs, **settings)

    def propose(self, active: ActiveImages) -> tf.Tensor:
        attack = self._make_attack(len(active))
        origin = active.origin.numpy()
        state = np.random.get_state()
        np.random.seed(self.seed % 2**32)
        try:
            images = attack.generate(x=origin, y=active.labels)
        finally:
            np.random.set_state(state)
        # ART's L2 Square divides by zero where nothing is left to change.
        return tf.constant(np.where(np.isfinite(images), images, origin), tf.float32)

    def parameters(self) -> dict[str, Any]:
        return {
            "members": list(self.members),
            "steps": self.steps,
            "queries": self.queries,
            "seed": self.seed,
        }

    def _make_attack(self, batch_size: int) -> Any:
        from art.attacks import evasion

        estimator = self._estimator
        ball = {"norm": np.inf if self.norm == "linf" else 2, "eps": self.epsilon}
        # APGD starts with steps of twice epsilon and halves them itself.
        descent = ball | {
            "eps_step": 2 * self.epsilon,
            "max_iter": self.steps,
            "nb_random_init": 1,
            "batch_size": batch_size,
            "verbose": False,
        }
        apgd = evasion.AutoProjectedGradientDescent
        members = [
            apgd(estimator, loss_type="cross_entropy", **descent),
            apgd(estimator, loss_type="difference_logits_ratio", **descent),
            evasion.DeepFool(
                estimator,
                max_iter=self.steps // 2,
                epsilon=1e-3,
                batch_size=batch_size,
                verbose=False,
            ),
            evasion.SquareAttack(
                estimator,
                max_iter=self.queries,
                p_init=0.8,
                nb_restarts=1,
                batch_size=batch_size,
                verbose=False,
                **ball,
            ),
        ]
        return evasion.AutoAttack(
            estimator, attacks=members, batch_size=batch_size, **ball
        )


def _estimator(target: Target) -> Any:
    """The model as ART has it, compiled once."""
    try:
        import multiprocess  # noqa: F401
        from art.estimators.classification import TensorFlowV2Classifier
    except ImportError as error:
        raise UserError(
            "autoattack_art needs adversarial-robustness-toolbox: "
            f"pip install 'supcon-tf[attacks]'. Received: {error}"
        ) from error
    logits = tf.function(
        logits_function(target.model),
        input_signature=[tf.TensorSpec([None, *target.image_shape], tf.float32)],
        autograph=False,
    )
    return TensorFlowV2Classifier(
        model=lambda images, training=False: logits(tf.cast(images, tf.float32)),
        nb_classes=target.classes,
        input_shape=target.image_shape,
        loss_object=keras.losses.CategoricalCrossentropy(from_logits=True),
        clip_values=(0.0, 1.0),
    )
