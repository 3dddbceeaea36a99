"""The scheduler: takes all images of a call through an attack, a full batch at a time.

An image leaves as soon as it is done with, and one that waits takes its place.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from supcon_tf.attacks.active import ActiveImages
from supcon_tf.attacks.bounds import distance, project
from supcon_tf.attacks.inputs import Inputs
from supcon_tf.attacks.target import Judgement, Target

if TYPE_CHECKING:
    from supcon_tf.attacks.search_attack import SearchAttack


def search(
    attack: "SearchAttack",
    target: Target,
    inputs: Inputs,
    *,
    batch_size: int,
    early_stop: bool,
    known_right: bool = False,
    result: np.ndarray | None = None,
) -> np.ndarray:
    """Attacks all images.

    Args:
        attack: proposes the candidates.
        target: the model.
        inputs: of a call, checked.
        batch_size: images that are active at a time; as many more may be waiting.
        early_stop: whether an image is done with as soon as it fools the model.
        known_right: whether the model is known to get all images right.
        result: (N, H, W, C), filled with the images that the attack returns.

    Returns:
        (N,) booleans, who is fooled; an image that is wrong as it is, is fooled.
    """
    fooled = np.zeros(len(inputs), bool)

    def without_done(images: ActiveImages, done: np.ndarray) -> ActiveImages:
        if not done.any():
            return images
        leaving = images.take(done)
        fooled[leaving.positions] = leaving.fooled
        if result is not None:
            result[leaving.positions] = leaving.best.numpy()
        return images.take(~done)

    active = waiting = ActiveImages.entering(inputs, 0, 0, target.classes)
    entered = served = 0
    while True:
        while len(active) < batch_size:
            if served == len(waiting) and entered == len(inputs):
                break
            if served == len(waiting):
                waiting = ActiveImages.entering(
                    inputs, entered, entered + batch_size, target.classes
                )
                entered, served = entered + len(waiting), 0
                if attack.starts_at_image or not known_right:
                    _judge_images_themselves(attack, target, waiting)
                waiting.memory = attack.memory(waiting)
                if early_stop:
                    waiting = without_done(waiting, waiting.fooled)
            stop = served + batch_size - len(active)
            places = np.arange(len(waiting))
            active = active.join(waiting.take((served <= places) & (places < stop)))
            served = min(stop, len(waiting))
        if not len(active):
            return fooled
        _try_candidates(attack, target, active)
        done = active.tries >= attack.tries(target.classes)
        active = without_done(active, done | active.fooled if early_stop else done)


def _judge_images_themselves(
    attack: "SearchAttack", target: Target, images: ActiveImages
) -> None:
    """The first candidate; it is a result only where it fools, as it is no attack."""
    judged = target.judge(
        images.origin,
        images.labels,
        attack.objective,
        gradient=attack.starts_at_image,
    )
    _note(images, judged)
    images.fooled = judged.fooled.copy()
    if attack.leaves_ball:
        # Nothing that fools is closer.
        images.best_loss = np.where(images.fooled, 0.0, -np.inf)


def _try_candidates(
    attack: "SearchAttack", target: Target, active: ActiveImages
) -> None:
    """Judges a candidate for each image and keeps it where it is the best so far."""
    proposed = attack.propose(active)
    may_be_result = attack.may_be_result(active)
    if attack.leaves_ball:
        active.candidate = tf.clip_by_value(proposed, 0.0, 1.0)
        length = distance(active.candidate, active.origin, attack.norm)
        nearness = -length.numpy()
        may_be_result &= nearness >= -attack.epsilon
    else:
        active.candidate = project(proposed, active.origin, attack.epsilon, attack.norm)
        nearness = None
    judged = _judge(attack, target, active)
    _note(active, judged)
    fools, worth = judged.fooled, judged.loss
    if nearness is not None:
        # Of points that fool and lie anywhere, the closest is the best.
        worth = np.where(fools, nearness, worth)
    # Fooling comes first: a higher loss of a candidate that fails is worth less.
    better = (fools & ~active.fooled) | (
        (fools == active.fooled) & (worth > active.best_loss)
    )
    better &= may_be_result
    active.fooled = active.fooled | (better & fools)
    active.best_loss = np.where(better, worth, active.best_loss)
    active.best = tf.where(better[:, None, None, None], active.candidate, active.best)
    active.tries = active.tries + 1


def _note(images: ActiveImages, judged: Judgement) -> None:
    images.loss = judged.loss
    images.candidate_fools = judged.fooled
    images.logits = judged.logits
    images.gradient = judged.gradient


def _judge(attack: "SearchAttack", target: Target, active: ActiveImages) -> Judgement:
    """How the candidates fare, with gradients where the attack wants them."""

    def judged(rows: np.ndarray | slice, gradient: bool) -> Judgement:
        whole = isinstance(rows, slice)
        answers = [
            target.judge(
                active.candidate if whole else tf.gather(active.candidate, rows),
                active.labels[rows],
                attack.objective,
                targets=active.targets[rows],
                gradient=gradient,
            )
            for _ in range(attack.eot_iter if gradient else 1)
        ]
        if len(answers) == 1:
            return answers[0]
        mean = tf.add_n([answer.gradient for answer in answers]) / len(answers)
        return dataclasses.replace(answers[-1], gradient=mean)

    wanted = attack.wants_gradient(active)
    if wanted.all() or not wanted.any():
        return judged(slice(None), bool(wanted.all()))
    # Without a gradient a candidate costs a third, so the two kinds part ways.
    rows = [np.flatnonzero(wanted), np.flatnonzero(~wanted)]
    with_gradient, without = judged(rows[0], True), judged(rows[1], False)
    return with_gradient.joined(without, np.argsort(np.concatenate(rows)))
