"""The command `python -m export`."""

import os
import sys

from export.settings import parse_settings
from supcon_tf.flags import run_command


def main(argv: list[str]) -> None:
    settings = parse_settings(argv)

    # TensorFlow takes seconds to load: a wrong flag should not have to wait for it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from export.run import export_run

    version = export_run(settings)
    print(f"exported: {version}")


if __name__ == "__main__":
    run_command(main, sys.argv)
