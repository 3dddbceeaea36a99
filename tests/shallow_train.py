"""`train.py` with a network of two blocks: `python shallow_train.py FLAG ...`.

A run of some steps spends almost all of its time on tracing the layers of its network.
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
BLOCKS = (1, 1)


def train_main():
    """`main` of train.py, with all that it needs imported but nothing begun."""
    from supcon_tf.runtime.environment import prepare_environment

    prepare_environment()
    import supcon_tf.evaluation.run
    import supcon_tf.training.run  # noqa: F401
    import train
    from supcon_tf.models import resnet

    resnet.BLOCKS_PER_STAGE = BLOCKS
    return train.main


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    from supcon_tf.commands.flags import run_command

    run_command(train_main(), sys.argv)
