"""Files that hold a secret, or that must never be seen half-written."""

import os
import tempfile
from pathlib import Path


def write_private(path: Path, content: bytes, *, replace: bool) -> None:
    """Put ``content`` at ``path``, whole or not at all, durable when this returns, for its owner alone.

    Raises ``FileExistsError`` when there is a file already and it is not to be ``replace``d, and ``OSError``.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_draft_prefix(path))
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
    _sync_name(path)


def remove(path: Path) -> None:
    """There is no such file any more, not after a power cut either. Raises ``OSError``."""
    path.unlink(missing_ok=True)
    _sync_name(path)


def remove_drafts(path: Path) -> None:
    """Nothing is left of attempts to write ``path`` that were killed; for whoever is alone with it. Raises
    ``OSError``."""
    for draft in path.parent.glob(f"{_draft_prefix(path)}*"):
        draft.unlink()


def _draft_prefix(path: Path) -> str:
    return f".{path.name}-"


def make_durable(path: Path) -> None:
    """The file, and its name, outlive a power cut from now on. Raises ``OSError``."""
    _sync(path, os.O_RDONLY)
    _sync_name(path)


def _sync_name(path: Path) -> None:
    """A name is the content of its folder."""
    _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
