"""The command `python -m supcon_tf.evaluation`."""

import sys

from supcon_tf.commands.flags import run_command
from supcon_tf.evaluation.command import ALL, Request, parse_request
from supcon_tf.runs.folder_lock import sole_use
from supcon_tf.runs.run_folder import RunFolder
from supcon_tf.runtime.environment import prepare_environment
from supcon_tf.runtime.stop_signal import leaving_on_sigterm


def main(argv: list[str]) -> None:
    request = parse_request(argv)
    folder, flag = request.destination
    with leaving_on_sigterm(), sole_use(folder, flag):
        run(request, RunFolder(folder))


def run(request: Request, destination: RunFolder) -> None:
    """The evaluation, its table, and where its report is."""
    # TensorFlow takes seconds to load: a wrong flag should not have to wait for it.
    prepare_environment()
    from supcon_tf.data import load
    from supcon_tf.evaluation.preparation import chosen_split
    from supcon_tf.evaluation.run import evaluate_file, evaluate_run
    from supcon_tf.results.accuracy import accuracy_table
    from supcon_tf.results.markdown import markdown_table
    from supcon_tf.training.setup import prepare_process

    config = request.config
    prepare_process(config)
    folder = RunFolder(request.subject)
    data = load(config.data, folder.held_out_by() if request.is_run else "name")
    split = chosen_split(data, config)
    print(f"{data.name}: {len(split)} {config.evaluation.split} images are attacked")
    for note in data.notes:
        print(f"note: {note}")
    if request.is_run:
        folder.check_data(data.fingerprint)
        names = None if request.stage == ALL else (request.stage,)
        result = evaluate_run(folder, config, data, destination, names)
    else:
        result = evaluate_file(request.subject, config, data, destination)
    print(markdown_table(*accuracy_table(result)))
    print(f"report: {destination.report_file}")


if __name__ == "__main__":
    run_command(main, sys.argv)
