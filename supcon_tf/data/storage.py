"""Room for decoded images: in memory, or on disk in a file that has no name."""

import os
import tempfile

import numpy as np

from supcon_tf.errors import UserError


def allocate(shape: tuple[int, ...], in_memory: bool) -> np.ndarray:
    """A uint8 array, a `np.memmap` if not `in_memory`.

    The file of the memmap is deleted from its folder (`TMPDIR`) when it is made: the
    system frees it with the array, or when the process ends in whatever way.

    Raises:
        UserError: if the disk has no room for it.
    """
    if in_memory:
        return np.empty(shape, np.uint8)
    size = int(np.prod(shape, dtype=np.int64))
    with tempfile.TemporaryFile() as file:
        try:
            # Without room reserved, a full disk would end the process with SIGBUS
            # while images are written.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, np.uint8, "w+", shape=shape)
        except OSError as error:
            raise UserError(
                f"--cache_gib is below the {size / 2**30:.3g} GiB of the decoded "
                f"images and {tempfile.gettempdir()} has no room for them: raise it, "
                f"set TMPDIR to another disk, or limit the images ({error.strerror})"
            ) from error
