"""The functions' zip, built again only when something that goes into it has changed."""

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from platform import python_version

from evswap_cloud.package import LOCAL, PackagingError, build
from evswap_local.errors import BadStack

NAME = f"evswap-cloud-{LOCAL}.zip"


def keep_package(folder: Path, requirements: Path) -> Path:
    """The zip in ``folder``, made anew when code, requirements or Python changed; raises BadStack."""
    package, mark = folder / NAME, folder / f"{NAME}.sources"
    sources = _fingerprint(requirements)
    if package.is_file() and mark.is_file() and mark.read_text(encoding="ascii") == sources:
        return package
    try:
        made = build(LOCAL, folder, requirements=requirements)
    except PackagingError as error:
        raise BadStack("the functions' code", str(error)) from error
    mark.write_text(sources, encoding="ascii")
    return made.path


def _fingerprint(requirements: Path) -> str:
    digest = hashlib.sha256(python_version().encode())
    digest.update(requirements.read_bytes())
    for file in sorted(_sources()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    for name in ("evswap_cloud", "evswap_schema"):
        yield from (path for path in Path(str(files(name))).rglob("*") if path.suffix in (".py", ".json"))
