"""The command `python -m export`."""

import sys

from export.settings import parse_settings
from supcon_tf.environment import prepare_environment
from supcon_tf.flags import run_command


def main(argv: list[str]) -> None:
    settings = parse_settings(argv)

    # TensorFlow takes seconds to load: a wrong flag should not have to wait for it.
    prepare_environment()
    from export.run import export_run

    version = export_run(settings)
    print(f"exported: {version}")


if __name__ == "__main__":
    run_command(main, sys.argv)
