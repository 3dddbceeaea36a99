"""The command `python -m export`."""

import sys

from supcon_tf.commands.flags import run_command
from supcon_tf.export.__main__ import main

if __name__ == "__main__":
    run_command(main, sys.argv)
