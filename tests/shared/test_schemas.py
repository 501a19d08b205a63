import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from evswap_schema import Reading, encode_reading
from evswap_schema.schemas import schema_files, write
from tests.shared.strategies import readings

KEPT = Path(__file__).parents[2] / "shared" / "schemas"
GOLDEN = Path(__file__).parent / "golden"
SCHEMA_OF = {
    "seed.json": "reading.v1",
    "reading.json": "reading.v1",
    "batch.json": "batch.v1",
    "event-swap.json": "event.v1",
    "event-alarm.json": "event.v1",
    "event-swap-offline.json": "event.v1",
    "event-refusal.json": "event.v1",
    "event-inventory.json": "event.v1",
    "authorisation.json": "authorisation.v1",
    "command-cache-authorisations.json": "command.v1",
    "command-unlock.json": "command.v1",
    "command-result.json": "command-result.v1",
    "connection.json": "connection.v1",
}


def validator(name: str) -> Any:
    return Draft202012Validator(json.loads(schema_files()[f"{name}.schema.json"]))


def test_the_files_in_the_repository_are_fresh(tmp_path: Path) -> None:
    write(tmp_path)
    fresh = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in KEPT.iterdir()}
    assert kept == fresh, "run: python -m evswap_schema.schemas shared/schemas"


@pytest.mark.parametrize("name", [Path(name).name.removesuffix(".schema.json") for name in schema_files()])
def test_each_is_a_schema_that_any_reader_understands(name: str) -> None:
    text = schema_files()[f"{name}.schema.json"]
    Draft202012Validator.check_schema(json.loads(text))
    assert r"\\Z" not in text, "ECMA-262 knows no \\Z"


@pytest.mark.parametrize(("message", "name"), SCHEMA_OF.items())
def test_the_golden_messages_are_valid(message: str, name: str) -> None:
    validator(name).validate(json.loads((GOLDEN / message).read_text()))


@given(readings(bay_count=1))
def test_what_the_codec_writes_is_valid(reading: Reading) -> None:
    validator("reading.v1").validate(json.loads(encode_reading(reading)))


@pytest.mark.parametrize("changes", [{"battery_available": True}, {"status": "fine"}, {"station_id": "a/b"}])
def test_what_the_codec_refuses_is_not(changes: dict[str, object]) -> None:
    seed = json.loads((GOLDEN / "seed.json").read_text())
    assert not validator("reading.v1").is_valid({**seed, **changes})
