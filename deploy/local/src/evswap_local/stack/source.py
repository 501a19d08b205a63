"""Reading cloud/stack (its README.md describes it): placeholders filled in, ``local`` overrides applied."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from evswap_local.errors import BadStack

PLACEHOLDER = re.compile(r"\$\{([a-z_]+)\}")
LOCAL = "local"
PREFIX = "evswap"
NAMES = "names.yaml"


@dataclass(frozen=True, kw_only=True)
class Values:
    """What the placeholders stand for."""

    region: str
    account_id: str
    prefix: str
    archive_bucket: str
    compacted_bucket: str
    stations_table: str
    fleet_table: str
    events_table: str
    batteries_table: str
    ledger_table: str
    authorisations_table: str
    history_table: str

    @classmethod
    def of(cls, folder: Path, *, region: str, account_id: str) -> "Values":
        """The names on this machine, by ``folder``'s names.yaml; raises BadStack."""
        given = {"region": region, "account_id": account_id, "prefix": PREFIX}
        names = _parsed(NAMES, _filled(folder, NAMES, given))
        try:
            return cls(**given, **names)
        except TypeError as error:
            raise BadStack(NAMES, str(error)) from error


@dataclass(frozen=True)
class Source:
    """The folder cloud/stack, with the values of this machine."""

    folder: Path
    values: Values

    def text(self, name: str) -> str:
        """A file with its placeholders filled in; raises BadStack."""
        return _filled(self.folder, name, asdict(self.values))

    def yaml(self, name: str) -> dict[str, Any]:
        """A YAML file as it counts on one machine; raises BadStack."""
        return _parsed(name, self.text(name))

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file; raises BadStack."""
        try:
            document = json.loads(self.text(name))
        except ValueError as error:
            raise BadStack(name, str(error)) from error
        return _mapping(name, document)

    def named(self, name: str, key: str) -> str:
        """The AWS name of the resource that ``name`` (a YAML file) has under ``key``; raises BadStack."""
        try:
            return str(self.yaml(name)[key]["name"])
        except KeyError:
            raise BadStack(name, f"nothing has the key {key}") from None


def _filled(folder: Path, name: str, values: Mapping[str, str]) -> str:
    try:
        raw = (folder / name).read_text(encoding="utf-8")
    except OSError as error:
        raise BadStack(name, error.strerror or str(error)) from error

    def fill(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise BadStack(name, f"unknown placeholder {match[0]}; known are {', '.join(sorted(values))}")
        return values[match[1]]

    return PLACEHOLDER.sub(fill, raw)


def _parsed(name: str, text: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadStack(name, str(error)) from error
    return _mapping(name, document)


def _mapping(name: str, document: object) -> dict[str, Any]:
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
