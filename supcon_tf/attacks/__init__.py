"""Attacks that look for images a classifier gets wrong.

All are called alike, `attack(model, images, labels)`, on images in [0, 1]. A `Target`
in place of the model is compiled once for many calls.
"""

from supcon_tf.attacks.apgd import APGD
from supcon_tf.attacks.autoattack import AutoAttack
from supcon_tf.attacks.fab import FAB
from supcon_tf.attacks.fgsm import FGSM
from supcon_tf.attacks.pgd import PGD
from supcon_tf.attacks.probe import ProbabilityOutputError
from supcon_tf.attacks.random_noise import RandomNoise
from supcon_tf.attacks.square import Square
from supcon_tf.attacks.target import Target
from supcon_tf.attacks.transfer import Transfer

__all__ = [
    "APGD",
    "FAB",
    "FGSM",
    "PGD",
    "AutoAttack",
    "ProbabilityOutputError",
    "RandomNoise",
    "Square",
    "Target",
    "Transfer",
]
