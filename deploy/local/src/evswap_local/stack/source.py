"""Reading cloud/stack (its README.md describes it): placeholders filled in, ``local`` overrides applied."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from evswap_local.errors import BadStack

PLACEHOLDER = re.compile(r"\$\{([a-z_]+)\}")
LOCAL = "local"
PREFIX = "evswap"


@dataclass(frozen=True, kw_only=True)
class Values:
    """What the placeholders stand for."""

    region: str
    account_id: str
    prefix: str
    archive_bucket: str
    stations_table: str

    @classmethod
    def of(cls, *, region: str, account_id: str) -> "Values":
        """The names on this machine."""
        return cls(
            region=region,
            account_id=account_id,
            prefix=PREFIX,
            archive_bucket=f"{PREFIX}-archive-{account_id}",
            stations_table=f"{PREFIX}-stations",
        )


@dataclass(frozen=True)
class Source:
    """The folder cloud/stack, with the values of this machine."""

    folder: Path
    values: Values

    def text(self, name: str) -> str:
        """A file with its placeholders filled in; raises BadStack."""
        try:
            raw = (self.folder / name).read_text(encoding="utf-8")
        except OSError as error:
            raise BadStack(name, error.strerror or str(error)) from error
        known = asdict(self.values)

        def fill(match: re.Match[str]) -> str:
            if match[1] not in known:
                raise BadStack(name, f"unknown placeholder {match[0]}; known are {', '.join(sorted(known))}")
            return str(known[match[1]])

        return PLACEHOLDER.sub(fill, raw)

    def yaml(self, name: str) -> dict[str, Any]:
        """A YAML file as it counts on one machine; raises BadStack."""
        try:
            document = yaml.safe_load(self.text(name))
        except yaml.YAMLError as error:
            raise BadStack(name, str(error)) from error
        return self._mapping(name, document)

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file; raises BadStack."""
        try:
            document = json.loads(self.text(name))
        except ValueError as error:
            raise BadStack(name, str(error)) from error
        return self._mapping(name, document)

    def named(self, name: str, key: str) -> str:
        """The AWS name of the resource that ``name`` (a YAML file) has under ``key``; raises BadStack."""
        try:
            return str(self.yaml(name)[key]["name"])
        except KeyError:
            raise BadStack(name, f"nothing has the key {key}") from None

    def _mapping(self, name: str, document: object) -> dict[str, Any]:
        if not isinstance(document, dict):
            raise BadStack(name, "is not a mapping")
        return {key: as_on_one_machine(value) for key, value in document.items()}


def as_on_one_machine(node: object) -> Any:
    """``node`` with every mapping under the key ``local`` laid over its siblings."""
    match node:
        case dict():
            kept = {key: as_on_one_machine(value) for key, value in node.items() if key != LOCAL}
            return kept | as_on_one_machine(node[LOCAL]) if LOCAL in node else kept
        case list():
            return [as_on_one_machine(item) for item in node]
        case _:
            return node
