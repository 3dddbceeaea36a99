"""The Square attack: a random search that needs no gradient."""

from typing import Any

import numpy as np
import tensorflow as tf

from supcon_tf.attacks import square_l2, streams
from supcon_tf.attacks.active import ActiveImages
from supcon_tf.attacks.inputs import check_count, check_number
from supcon_tf.attacks.search_attack import SearchAttack
from supcon_tf.errors import UserError

# Of 10,000 queries, those after which the squares' area halves (as in the paper).
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


class Square(SearchAttack):
    """Square attack: random squares, kept where the margin grows.

    L-inf: starts from vertical stripes at +-epsilon. Each query then recolours one
    square at a random place, each channel to one corner of the ball. L2: starts from a
    tiling with bumps. Each query then adds a bump to one square, of the length that
    this and another square had. A change is kept if the margin loss
    `max_{j != y} z_j - z_y` rises. The attack reads logits only, so masked gradients
    don't hide anything from it.

    Args:
        epsilon: radius of the ball in [0, 1] pixel units.
        queries: forward passes for each image, the first one included.
        norm: "linf" or "l2".
        seed: of the search.
        p_init: share of an image's area that the first squares cover, in (0, 1].
        schedule: when squares shrink. "scaled": as in the paper with 10,000 queries,
            scaled to `queries`. "raw": as AutoAttack does it, at the queries that these
            would be of 10,000, with the first one not counted, and squares that may
            cover the whole image and never touch its last row and column otherwise.

    Raises:
        UserError: if a value is not allowed.

    Example:

    ```python
    import keras, numpy as np
    from supcon_tf.attacks import Square

    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    images, labels = np.random.rand(8, 4, 4, 1), np.arange(8) % 10
    accuracy = Square(queries=500).survivors(model, images, labels).mean()
    ```

    Reference:
        Andriushchenko et al. 2020, arXiv 1912.00049, algorithms 1 to 3.
    """

    def __init__(
        self,
        *,
        epsilon: float = 8 / 255,
        queries: int = 500,
        norm: str = "linf",
        seed: int = 0,
        p_init: float = 0.8,
        schedule: str = "scaled",
    ) -> None:
        super().__init__(epsilon=epsilon, norm=norm, seed=seed)
        self.queries = check_count("queries", queries)
        self.p_init = check_number("p_init", p_init)
        if not 0 < self.p_init <= 1:
            raise UserError(f"p_init must be in (0, 1]. Received: {p_init}")
        if schedule not in ("scaled", "raw"):
            raise UserError(
                f"schedule must be one of scaled, raw. Received: {schedule!r}"
            )
        self.schedule = schedule

    def tries(self, classes: int) -> int:
        return self.queries + (self.schedule == "raw")

    def propose(self, active: ActiveImages) -> tf.Tensor:
        shape = active.origin.shape[1:]
        sides = self._sides(active.tries, *shape[:2])
        count = (
            2 + shape[1] * shape[2]
            if self.norm == "linf"
            else max(square_l2.draws_to_start(shape), square_l2.draws_to_move(shape))
        )
        drawn = streams.uniform(self.seed, active.identities, active.tries, count)
        first = active.tries == 0
        if self.norm == "linf":
            return self._coloured(active, first, sides, drawn)
        return self._bumped(active, first, sides, drawn)

    def parameters(self) -> dict[str, Any]:
        return {
            "queries": self.queries,
            "p_init": self.p_init,
            "schedule": self.schedule,
            "seed": self.seed,
        }

    def _coloured(
        self,
        active: ActiveImages,
        first: np.ndarray,
        sides: np.ndarray,
        drawn: np.ndarray,
    ) -> tf.Tensor:
        height, width, channels = active.origin.shape[1:]
        signs = np.where(drawn[:, 2:] < 0.5, -1, 1).astype(np.float32)
        stripes = signs.reshape(-1, 1, width, channels)
        square = signs[:, None, None, :channels]
        # Of the places of a square, the last one is not among those of "raw".
        last = int(self.schedule == "scaled")
        inside = _square_masks(
            np.floor(drawn[:, 0] * (height - sides + last)),
            np.floor(drawn[:, 1] * (width - sides + last)),
            sides,
            (height, width),
        )
        first = first[:, None, None, None]
        change = self.epsilon * np.where(first, stripes, square)
        return tf.where(inside | first, active.origin + change, active.best)

    def _bumped(
        self,
        active: ActiveImages,
        first: np.ndarray,
        sides: np.ndarray,
        drawn: np.ndarray,
    ) -> tf.Tensor:
        shape = tuple(active.origin.shape[1:])
        change = (active.best - active.origin).numpy()
        change = square_l2.move(
            change, self.epsilon, sides, drawn[:, : square_l2.draws_to_move(shape)]
        )
        if first.any():
            drawn = drawn[first, : square_l2.draws_to_start(shape)]
            change[first] = self.epsilon * square_l2.start(shape, drawn)
        return active.origin + change

    def _sides(self, tries: np.ndarray, height: int, width: int) -> np.ndarray:
        """Side lengths (N,) in pixels of the squares of these tries."""
        progress = tries - 1
        if self.schedule == "scaled":
            progress = progress * 10_000 // self.queries
        halvings = np.searchsorted(_HALVINGS, progress, side="left")
        area = self.p_init * 0.5**halvings * height * width
        side = np.sqrt(area).round().astype(np.int64)
        most = min(height, width)
        if self.norm == "l2":
            side = np.maximum(side, 3)
            return np.minimum(side + (side % 2 == 0), most)
        if self.schedule == "scaled":
            most = max(1, most - 1)
        return np.clip(side, 1, most)


def _square_masks(
    top: np.ndarray, left: np.ndarray, side: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Masks (N, H, W, 1) of squares of these places (N,) and sides (N,)."""
    rows, columns = np.arange(size[0]), np.arange(size[1])
    top, left, side = top[:, None], left[:, None], side[:, None]
    in_rows = (rows >= top) & (rows < top + side)
    in_columns = (columns >= left) & (columns < left + side)
    return (in_rows[:, :, None] & in_columns[:, None, :])[..., None]
