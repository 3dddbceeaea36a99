"""What the masking checks look at: each attack is run once and its outcome shared."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from supcon_tf.attacks import PGD, Target
from supcon_tf.config import EvaluationConfig
from supcon_tf.data import Split
from supcon_tf.data.splits import balanced_sample
from supcon_tf.evaluation.parts import Journal
from supcon_tf.evaluation.robustness import chunks, logits_of, make_attack, target_of
from supcon_tf.results.record import outcome_name, strength_text

# Divisors of the logits: a loss of enlarged logits saturates and hides its gradient.
RESCALINGS = (10, 100)
# Attacks of hundreds of passes an image see a quarter of the sample, but no fewer.
FEWEST_COMPARED = 100


@dataclass(frozen=True)
class Evidence:
    """Outcomes of the attacks on a sample of N images.

    Booleans (N,) say which images still get their label. All but `fgsm_only`
    and `gradient_usable` are about the `compared` images and False elsewhere.

    Args:
        compared: (N,) the images that the iterative attacks and searches see.
        clean: without an attack.
        curve: under PGD by epsilon (as on the command line), from weak to strong; the
            last covers the whole pixel range.
        epsilon: of `curve`, the strength of everything below.
        epsilon_text: the same for people.
        fgsm_only: (N,) images that fall to FGSM and not to PGD.
        pgd_doubled: under PGD of twice as many steps.
        margin_losses: under PGD on "cw" and "dlr" (from three classes on).
        stands_gradients: under FGSM, PGD and PGD on the margin losses alike.
        rescaled: under PGD on the logits divided by a number.
        noise: with random noise.
        transfer: under the transfer attack; None without a source.
        square: under Square, of those that stand the gradient attacks.
        gradient_usable: (N,) the input gradient is finite and not zero everywhere.
        logits: (N, classes) of the images.
        logits_again: (N, classes) of a second evaluation.
    """

    compared: np.ndarray
    clean: np.ndarray
    curve: dict[float, np.ndarray]
    epsilon: float
    epsilon_text: str
    fgsm_only: np.ndarray
    pgd_doubled: np.ndarray
    margin_losses: dict[str, np.ndarray]
    stands_gradients: np.ndarray
    rescaled: dict[int, np.ndarray]
    noise: np.ndarray
    transfer: np.ndarray | None
    square: np.ndarray
    gradient_usable: np.ndarray
    logits: np.ndarray
    logits_again: np.ndarray

    @property
    def pgd(self) -> np.ndarray:
        return self.curve[self.epsilon]

    def accuracy(self, outcome: np.ndarray) -> float:
        """Share of the compared images."""
        return float((outcome & self.compared).sum() / self.compared.sum())


def gather(
    model: keras.Model | Target,
    sample: Split,
    config: EvaluationConfig,
    seed: int,
    source: keras.Model | Target | None = None,
    title: str = "checks",
    journal: Journal | None = None,
) -> Evidence:
    """Runs the attacks that the checks need.

    The checks' epsilon is the one, of the config, at which PGD accuracy is closest to
    half the clean accuracy: where all images fall or none does, comparing attacks
    tells nothing. Of two as close it is the stronger, as masked models stay flat.

    Args:
        model: maps [0,1] images to logits; a target that others use is compiled once.
        sample: the images, at least one.
        config: norm, epsilons, steps and restarts.
        seed: of the attacks' random numbers and of the choice of images.
        source: the model that makes the images of the transfer attack.
        title: of the progress bar.
        journal: where finished attacks are kept and found again.
    """
    journal = journal or Journal()
    target = target_of(model, sample)
    if source is not None:
        source = target_of(source, sample)
    logits, again = journal.part(
        "logits",
        lambda: {again: logits_of(target, sample) for again in "ab"},
    ).values()
    correct = logits.argmax(axis=1) == sample.labels
    compared = _compared(sample.labels, seed)
    clean = correct & compared
    strengths = sorted({*config.epsilons, whole_range(config.norm, sample)})
    losses = ["pgd_cw", "pgd_dlr"] if logits.shape[1] > 2 else ["pgd_cw"]
    attacks = 6 + len(strengths) + len(losses) + len(RESCALINGS)
    attacks += source is not None

    with tqdm(total=attacks, desc=title, unit="attack", disable=None) as bar:
        run = _Runner(target, sample, config, seed, bar, journal)
        usable = run.gradient_usable()
        curve = {strength: run("pgd", strength, clean) for strength in strengths}
        epsilon = _most_telling(
            {e: int(curve[e].sum()) for e in config.epsilons}, int(clean.sum())
        )
        pgd = curve[epsilon]
        fgsm = run("fgsm", epsilon, correct)
        # Who stands FGSM can't be among the images that it alone breaks.
        fgsm_only = run("pgd", epsilon, correct & ~fgsm & ~compared) | (pgd & ~fgsm)
        margin_losses = {name: run(name, epsilon, clean) for name in losses}
        stands = np.logical_and.reduce([pgd, fgsm, *margin_losses.values()])
        return Evidence(
            compared=compared,
            clean=clean,
            curve=curve,
            epsilon=epsilon,
            epsilon_text=f"epsilon {strength_text(epsilon, config.norm)}",
            fgsm_only=fgsm_only,
            pgd_doubled=run.doubled(epsilon, pgd),
            margin_losses=margin_losses,
            stands_gradients=stands,
            rescaled=run.rescaled(epsilon, clean),
            noise=run("noise", epsilon, clean),
            transfer=run("transfer", epsilon, clean, source=source) if source else None,
            square=run("square", epsilon, stands),
            gradient_usable=usable,
            logits=logits,
            logits_again=again,
        )


def _compared(labels: np.ndarray, seed: int) -> np.ndarray:
    count = max(FEWEST_COMPARED, len(labels) // 4)
    chosen = np.zeros(len(labels), bool)
    chosen[balanced_sample(labels, count, seed)] = True
    return chosen


def whole_range(norm: str, sample: Split) -> float:
    """The epsilon, as on the command line, that covers all images there are."""
    pixels = int(np.prod(sample.images.shape[1:]))
    return 255.0 if norm == "linf" else float(np.sqrt(pixels))


def _most_telling(standing: dict[float, int], clean: int) -> float:
    return min(standing, key=lambda e: (abs(standing[e] - clean / 2), -e))


class _Runner:
    """Attacks a model on chosen images of the sample."""

    def __init__(
        self,
        target: Target,
        sample: Split,
        config: EvaluationConfig,
        seed: int,
        bar: tqdm,
        journal: Journal,
        numbers: Iterator[int] | None = None,
    ) -> None:
        self.target = target
        self.sample = sample
        self.config = config
        self.seed = seed
        self.bar = bar
        self.journal = journal
        # One attack may see several sets of images; the order of attacks is fixed.
        self.numbers = numbers or itertools.count()

    def __call__(
        self,
        name: str,
        epsilon: float,
        among: np.ndarray,
        source: Target | None = None,
    ) -> np.ndarray:
        """(N,) which of the images `among` survive an attack."""

        def survivors() -> dict[str, np.ndarray]:
            attack: Any = make_attack(name, epsilon, self.config, self.seed, source)
            result = np.zeros(len(self.sample), bool)
            for images, labels, rows in chunks(self.sample, np.flatnonzero(among)):
                result[rows] = attack.survivors(
                    self.target, images, labels, indices=rows, known_right=True
                )
            return {"survived": result}

        number = next(self.numbers)
        part = self.journal.part(f"{number}-{outcome_name(name, epsilon)}", survivors)
        self.bar.update()
        return part["survived"]

    def doubled(self, epsilon: float, survivors: np.ndarray) -> np.ndarray:
        """PGD of twice the steps; the first half of them are those of the plain one."""
        config = dataclasses.replace(self.config, pgd_steps=2 * self.config.pgd_steps)
        longer = self._twin(self.target, config)
        return longer("pgd", epsilon, survivors)

    def rescaled(self, epsilon: float, among: np.ndarray) -> dict[int, np.ndarray]:
        """PGD on divided logits."""
        model = _Rescaled(self.target.model)
        run = self._twin(target_of(model, self.sample), self.config)
        result = {}
        for divisor in RESCALINGS:
            model.divisor.assign(divisor)
            result[divisor] = run("pgd", epsilon, among)
        return result

    def _twin(self, target: Target, config: EvaluationConfig) -> "_Runner":
        return _Runner(
            target,
            self.sample,
            config,
            self.seed,
            self.bar,
            self.journal,
            self.numbers,
        )

    def gradient_usable(self) -> np.ndarray:
        """(N,) whether the gradient at the image is finite and not zero everywhere."""

        def usable() -> dict[str, np.ndarray]:
            attack = PGD(steps=1)
            parts = []
            for images, labels, _ in chunks(self.sample, np.arange(len(self.sample))):
                flat = attack.gradients(self.target, images, labels)
                flat = flat.reshape(len(labels), -1)
                parts.append(np.isfinite(flat).all(axis=1) & (flat != 0).any(axis=1))
            return {"usable": np.concatenate(parts)}

        part = self.journal.part("gradient", usable)
        self.bar.update()
        return part["usable"]


class _Rescaled:
    """A model with divided logits; the divisor is a variable so that one trace does."""

    def __init__(self, model: Callable) -> None:
        self.model = model
        self.divisor = tf.Variable(1.0)

    def __call__(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        logits = self.model(images, training=training)
        return logits / tf.cast(self.divisor, logits.dtype)
