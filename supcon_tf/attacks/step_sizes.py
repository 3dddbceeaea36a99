"""When APGD halves its step and goes back to the best image so far."""

import numpy as np

State = dict[str, np.ndarray]


def checkpoint_gaps(steps: int) -> np.ndarray:
    """For each step (steps,) the steps since the checkpoint before, 0 if it is none.

    Reference:
        Croce and Hein 2020, arXiv 2003.01690, section 3.2: checkpoints at 22 %, 41 %,
        57 %, ... of the steps, closer and closer.
    """
    gap, least = max(int(0.22 * steps), 1), max(int(0.06 * steps), 1)
    shrink = max(int(0.03 * steps), 1)
    gaps, at = np.zeros(steps, np.int64), gap - 1
    while at < steps:
        gaps[at] = gap
        gap = max(gap - shrink, least)
        at += gap
    return gaps


class StepSizes:
    """The step sizes of a batch of runs, each at a step of its own.

    At a checkpoint a run's step is halved, and it goes back to its best image, if too
    few of the steps since the last checkpoint raised the loss, or if neither the best
    loss has risen since nor the step been halved then.

    As in the reference implementation, few means at most the share `PROGRESS`, and a
    run's first loss counts as a rise if it is above 0 (the paper: below the share, and
    above the loss at the start).

    Args:
        steps: of a run.

    Reference:
        Croce and Hein 2020, arXiv 2003.01690, algorithm 1, conditions 1 and 2;
        github.com/fra31/auto-attack.
    """

    PROGRESS = 0.75

    def __init__(self, steps: int) -> None:
        self._gaps = checkpoint_gaps(steps)

    @staticmethod
    def start(losses: np.ndarray, step_size: float) -> State:
        """The state (N,) of runs whose starting points have these losses."""
        losses = losses.astype(np.float64)
        count = len(losses)
        return {
            "step_size": np.full(count, step_size),
            "best_loss": losses,
            "best_before": losses,
            "last_loss": np.zeros(count),
            "rises": np.zeros(count, np.int64),
            # So that the best loss of a run's first stretch can't be held against it.
            "halved": np.ones(count, bool),
        }

    def advance(
        self, state: State, steps: np.ndarray, losses: np.ndarray
    ) -> tuple[State, np.ndarray, np.ndarray]:
        """Takes in the losses (N,) that runs have after their steps (N,), from 0 on.

        Returns:
            The next state; which runs (N,) have a new best loss; which go back to it.
        """
        losses = losses.astype(np.float64)
        best = losses > state["best_loss"]
        best_loss = np.where(best, losses, state["best_loss"])
        rises = state["rises"] + (losses > state["last_loss"])
        gaps = self._gaps[steps]
        checked = gaps > 0
        stuck = ~state["halved"] & (state["best_before"] >= best_loss)
        back = checked & (stuck | (rises <= self.PROGRESS * gaps))
        following = {
            "step_size": np.where(back, state["step_size"] / 2, state["step_size"]),
            "best_loss": best_loss,
            "best_before": np.where(checked, best_loss, state["best_before"]),
            "last_loss": losses,
            "rises": np.where(checked, 0, rises),
            "halved": np.where(checked, back, state["halved"]),
        }
        return following, best, back
