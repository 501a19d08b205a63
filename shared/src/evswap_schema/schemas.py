"""JSON Schema (2020-12) of every message, generated from the types.

``python -m evswap_schema.schemas DIRECTORY`` writes the files; the repository keeps them in
``shared/schemas``, and a test keeps them fresh. A schema says what one field may be; what the codec refuses
beyond that (duplicate keys, fields that contradict each other) no schema can say.
"""

import sys
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

import msgspec

from evswap_schema.acknowledgement import Acknowledgement
from evswap_schema.authorisation import Authorisation
from evswap_schema.batch import BatchDocument
from evswap_schema.commands import Command, CommandResult, PendingRequest
from evswap_schema.connection import Connection
from evswap_schema.events import Event
from evswap_schema.reading import Reading

_MESSAGES: Final[dict[str, Any]] = {
    "reading.v1": Reading,
    "batch.v1": BatchDocument,
    "event.v1": Event,
    "authorisation.v1": Authorisation,
    "command.v1": Command,
    "command-result.v1": CommandResult,
    "pending-request.v1": PendingRequest,
    "acknowledgement.v1": Acknowledgement,
    "connection.v1": Connection,
}


def schema_files() -> dict[str, str]:
    """File name to text, for every message."""
    return {f"{name}.schema.json": _text(name, kind) for name, kind in _MESSAGES.items()}


def write(directory: Path) -> None:
    """Write every schema into ``directory``, which is made where it is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in schema_files().items():
        (directory / name).write_text(text)


def _text(name: str, kind: Any) -> str:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:evswap:{name}",
        **_for_json_schema(msgspec.json.schema(kind)),
    }
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def _for_json_schema(value: Any) -> Any:
    """Write patterns as ECMA-262 has them (``$`` for Python's ``\\Z``), and docstrings unindented."""
    match value:
        case dict():
            return {
                key: cleandoc(inner) if key == "description" else _for_json_schema(inner)
                for key, inner in value.items()
            }
        case list():
            return [_for_json_schema(inner) for inner in value]
        case str():
            return cleandoc(value.replace(r"\Z", "$"))
        case _:
            return value


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m evswap_schema.schemas DIRECTORY   (in the repository: shared/schemas)")
    write(Path(sys.argv[1]))
