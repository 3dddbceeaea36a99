"""Finding a data set of tensorflow-datasets: prepared on disk, else downloaded.

Nothing here waits for a network that isn't there, and Google's bucket of prepared data
is never asked.
"""

import difflib
import re
import threading
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from supcon_tf.data.sources.quiet import only_errors
from supcon_tf.errors import UserError

_NAME = re.compile(r"\w+(/[\w.\-]+)?(:(\d+|\*)\.(\d+|\*)\.(\d+|\*))?")
_PROBE_SECONDS = 5.0
_MOST_HOSTS_PROBED = 4


def prepared_builder(name: str, data_dir: str) -> Any:
    """The builder of a classification data set whose data is on disk.

    Args:
        name: `NAME`, `NAME/CONFIG` or `NAME/CONFIG:VERSION`.
        data_dir: folder of the prepared data; the library's own default if empty.

    Returns:
        A `tfds.core.DatasetBuilder`.

    Raises:
        UserError: if the name is unknown, the data has no "image" and "label", or it
            is neither on disk nor can be downloaded.
    """
    with only_errors("absl"):
        builder = _find(name, data_dir)
        _check_features(builder, name)
        prepared = builder.is_prepared()
    if not prepared:
        _download(builder, name, data_dir)
    if "train" not in builder.info.splits:
        raise UserError(
            f"--dataset={name} must have a train split. "
            f"Received: {', '.join(builder.info.splits)}"
        )
    return builder


def _find(name: str, data_dir: str) -> Any:
    import tensorflow_datasets as tfds

    # A namespace (huggingface:mnist) would be looked up in the network.
    if not _NAME.fullmatch(name):
        raise UserError(_unknown(name))
    try:
        return tfds.builder(name, data_dir=data_dir or None, try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        raise UserError(_unknown(name)) from error
    # A builder is a stranger's code, which raises what it likes.
    except Exception as error:
        raise UserError(
            f"--dataset={name} can't be opened by tensorflow-datasets "
            f"({_first_line(error)})"
        ) from error


def _unknown(name: str) -> str:
    import tensorflow_datasets as tfds

    known = ["digits", "folder", *tfds.list_builders(with_community_datasets=False)]
    close = difflib.get_close_matches(name.lower(), known, n=3)
    hint = f"; close: {', '.join(close)}" if close else ""
    return (
        "--dataset must be digits, folder or a name that tensorflow-datasets knows. "
        f"Received: {name!r}{hint}"
    )


def _check_features(builder: Any, name: str) -> None:
    import tensorflow_datasets as tfds

    features = builder.info.features
    # The features of some data sets have no names at all.
    names = list(features.keys()) if hasattr(features, "keys") else []
    wanted = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    for key, kind in wanted.items():
        if key not in names or not isinstance(features[key], kind):
            raise UserError(
                "--dataset must name a classification data set, with features image "
                f"(Image) and label (ClassLabel). Received: {name!r} with "
                f"{', '.join(names) or 'neither'}"
            )
    image = features["image"]
    dtype, channels = np.dtype(image.np_dtype).name, image.shape[-1]
    if dtype != "uint8" or channels not in (1, 3, 4):
        raise UserError(
            "--dataset must have images of 8 bits and 1, 3 or 4 channels. Received: "
            f"{name!r} with {dtype} and {channels} channels"
        )


def _download(builder: Any, name: str, data_dir: str) -> None:
    import tensorflow_datasets as tfds

    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise UserError(_missing(builder, name, data_dir, "it is downloaded by hand"))
    problem = unreachable_host(list(getattr(builder, "url_infos", None) or ()))
    if problem:
        raise UserError(_missing(builder, name, data_dir, problem))
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
    # Whatever a download or a stranger's reader may raise, the way out is the same.
    except Exception as error:
        raise UserError(
            _missing(
                builder, name, data_dir, f"failed to prepare: {_first_line(error)}"
            )
        ) from error


def _missing(builder: Any, name: str, data_dir: str, problem: str) -> str:
    return (
        f"--data_dir must hold the prepared {name} ({builder.info.full_name}/, as "
        "tensorflow-datasets writes it; copy it from a machine that has it). "
        f"Received: {data_dir!r}, not at {builder.data_path}, and {problem}"
    )


def unreachable_host(urls: list[str]) -> str:
    """Why these can't be downloaded now, in words, or "" if every host answers.

    Takes some seconds at most, whatever the network does.
    """
    by_host = {urlsplit(url).netloc: url for url in urls}
    answers: dict[str, str] = {}
    threads = [
        # Daemons, since a name server that is silent ignores every time-out.
        threading.Thread(target=_probe, args=(host, url, answers), daemon=True)
        for host, url in list(by_host.items())[:_MOST_HOSTS_PROBED]
    ]
    deadline = time.monotonic() + _PROBE_SECONDS + 1
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for host in list(by_host)[:_MOST_HOSTS_PROBED]:
        problem = answers.get(host, "no answer")
        if problem:
            return f"{host} can't be reached ({problem})"
    return ""


def _probe(host: str, url: str, answers: dict[str, str]) -> None:
    try:
        with urllib.request.urlopen(url, timeout=_PROBE_SECONDS):
            answers[host] = ""
    except urllib.error.HTTPError:
        # The host speaks; what it makes of the real request is the download's affair.
        answers[host] = ""
    except (OSError, ValueError) as error:
        answers[host] = str(getattr(error, "reason", error))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
