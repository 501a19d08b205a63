"""Files that hold a secret, or that must never be seen half-written."""

import os
import tempfile
from pathlib import Path


def write_private(path: Path, content: bytes, *, replace: bool) -> None:
    """Put ``content`` at ``path``, whole or not at all, durable when this returns, for its owner alone.

    Raises ``FileExistsError`` when there is a file already and it is not to be ``replace``d, and ``OSError``.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Make the name durable too: it is the folder's content."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
