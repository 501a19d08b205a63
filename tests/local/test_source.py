"""Reading the stack's data."""

from pathlib import Path

import pytest

from evswap_local.errors import BadStack
from evswap_local.layout import Checkout
from evswap_local.stack.source import Source, Values, as_on_one_machine
from tests.local.real import ROOT

VALUES = Values.of(Checkout(ROOT).stack, region="us-east-1", account_id="000000000000")


def written(folder: Path, text: str) -> Source:
    (folder / "file").write_text(text)
    return Source(folder, VALUES)


def test_placeholders_are_filled_and_policy_variables_left_alone(tmp_path: Path) -> None:
    source = written(tmp_path, "${prefix}/${region}/${account_id}/${iot:Connection.Thing.ThingName}/$x")
    filled = "evswap/us-east-1/000000000000/${iot:Connection.Thing.ThingName}/$x"
    assert source.text("file") == filled


def test_an_unknown_placeholder_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadStack, match=r"\$\{prefiks\}.*prefix"):
        written(tmp_path, "${prefiks}").text("file")


@pytest.mark.parametrize("text", ["a: [", "- 1", "", "{"])
def test_a_file_that_is_no_mapping_is_named(tmp_path: Path, text: str) -> None:
    source = written(tmp_path, text)
    with pytest.raises(BadStack, match="file"):
        source.yaml("file")
    with pytest.raises(BadStack, match="file"):
        source.json("file")


def test_a_missing_file_and_a_missing_key_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadStack, match="nowhere"):
        written(tmp_path, "").yaml("nowhere")
    with pytest.raises(BadStack, match="nobody"):
        written(tmp_path, "a: {name: b}").named("file", "nobody")


def test_local_overrides_its_siblings_at_any_depth() -> None:
    document = {"a": [{"x": 1, "y": 2, "local": {"y": 3}}], "local": {"b": {"z": 1, "local": {"z": 2}}}}
    assert as_on_one_machine(document) == {"a": [{"x": 1, "y": 3}], "b": {"z": 2}}


def test_the_names_are_those_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "names.yaml").write_text(
        "{archive_bucket: '${prefix}-a-${account_id}', compacted_bucket: c, stations_table: t,"
        " fleet_table: f, events_table: e, batteries_table: b, ledger_table: l,"
        " history_table: h, authorisations_table: au}"
    )
    assert Values.of(tmp_path, region="r", account_id="1").archive_bucket == "evswap-a-1"


@pytest.mark.parametrize("names", ["{archive_bucket: a}", "{archive: a}", "[]"])
def test_names_that_are_not_what_is_asked_for_are_refused(tmp_path: Path, names: str) -> None:
    (tmp_path / "names.yaml").write_text(names)
    with pytest.raises(BadStack, match=r"names\.yaml"):
        Values.of(tmp_path, region="r", account_id="1")


def test_every_file_of_the_stack_can_be_read() -> None:
    source = Source(Checkout(ROOT).stack, VALUES)
    for name in ("tables", "buckets", "queues", "functions", "rules", "openapi"):
        assert source.yaml(f"{name}.yaml")
    for file in source.folder.glob("*/*.json"):
        assert source.json(str(file.relative_to(source.folder)))
