"""The command `python -m supcon_tf.export`."""

import sys

from supcon_tf.commands.flags import run_command
from supcon_tf.export.settings import parse_settings
from supcon_tf.runtime.environment import import_tensorflow, quieten_tensorflow


def main(argv: list[str]) -> None:
    settings = parse_settings(argv)

    # TensorFlow takes seconds to load: a wrong flag should not have to wait for it.
    # No more than that: an export is verified with TensorFlow as a server has it.
    quieten_tensorflow()
    import_tensorflow()
    from supcon_tf.export.run import export_run

    version = export_run(settings)
    print(f"exported: {version}")


if __name__ == "__main__":
    run_command(main, sys.argv)
