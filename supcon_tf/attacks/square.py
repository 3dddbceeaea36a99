"""The Square attack: a random search that needs no gradient."""

from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.attacks import streams
from supcon_tf.attacks.active import ActiveImages
from supcon_tf.attacks.attack import Attack
from supcon_tf.attacks.inputs import check_count, check_number
from supcon_tf.errors import UserError

# Of 10,000 queries, those after which the squares' area halves (the paper's schedule).
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


class Square(Attack):
    """Square attack: random squares at +-epsilon, kept where the margin grows.

    Starts from vertical stripes at +-epsilon. Each query then recolours one square at
    a random place, each channel to one corner of the ball, and keeps it if the margin
    loss `max_{j != y} z_j - z_y` rises. It reads logits only, so masked gradients
    don't hide anything from it. Squares shrink by the paper's schedule for 10,000
    queries, scaled to `queries`. L-inf only: the L2 variant is another algorithm.

    Args:
        epsilon: radius of the ball in [0, 1] pixel units.
        queries: forward passes for each image, the first one included.
        norm: "linf".
        seed: of the search.
        p_init: share of an image's area that the first squares cover, in (0, 1].

    Raises:
        UserError: if a value is not allowed.

    Example:

    ```python
    accuracy = Square(queries=500).survivors(model, images, labels).mean()
    ```

    Reference:
        Andriushchenko et al. 2020, arXiv 1912.00049, algorithms 1 and 2.
    """

    def __init__(
        self,
        *,
        epsilon: float = 8 / 255,
        queries: int = 500,
        norm: str = "linf",
        seed: int = 0,
        p_init: float = 0.8,
    ) -> None:
        super().__init__(epsilon=epsilon, norm=norm, seed=seed)
        if norm != "linf":
            raise UserError(f"Square knows norm='linf' only. Received: {norm!r}")
        self.queries = check_count("queries", queries)
        self.p_init = check_number("p_init", p_init)
        if not 0 < self.p_init <= 1:
            raise UserError(f"p_init must be in (0, 1]. Received: {p_init}")

    @property
    def tries(self) -> int:
        return self.queries

    def propose(self, active: ActiveImages) -> tf.Tensor:
        height, width, channels = active.origin.shape[1:]
        drawn = streams.uniform(
            self.seed, active.identities, active.tries, 2 + width * channels
        )
        signs = np.where(drawn[:, 2:] < 0.5, -1, 1).astype(np.float32)
        stripes = signs.reshape(-1, 1, width, channels)
        square = signs[:, None, None, :channels]
        inside = _square_masks(
            drawn[:, 0],
            drawn[:, 1],
            self._sides(active.tries, height, width),
            height,
            width,
        )
        first = active.tries[:, None, None, None] == 0
        change = self.epsilon * np.where(first, stripes, square)
        return tf.where(inside | first, active.origin + change, active.best)

    def _sides(self, tries: np.ndarray, height: int, width: int) -> np.ndarray:
        """Side lengths (N,) in pixels of the squares of these tries."""
        progress = (tries - 1) * 10_000 // self.queries
        halvings = np.searchsorted(_HALVINGS, progress, side="left")
        area = self.p_init * 0.5**halvings * height * width
        side = np.sqrt(area).round().astype(np.int64)
        return np.clip(side, 1, max(1, min(height, width) - 1))

    def parameters(self) -> dict[str, Any]:
        return {"queries": self.queries, "p_init": self.p_init, "seed": self.seed}


def _square_masks(
    row: np.ndarray, column: np.ndarray, side: np.ndarray, height: int, width: int
) -> np.ndarray:
    """Masks (N, H, W, 1) of squares placed by numbers `row`, `column` in [0, 1)."""
    top = np.floor(row * (height - side + 1))[:, None]
    left = np.floor(column * (width - side + 1))[:, None]
    rows, columns = np.arange(height), np.arange(width)
    in_rows = (rows >= top) & (rows < top + side[:, None])
    in_columns = (columns >= left) & (columns < left + side[:, None])
    return (in_rows[:, :, None] & in_columns[:, None, :])[..., None]
