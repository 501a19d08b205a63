"""Reading logs while they are written."""

from pathlib import Path

import yaml

from evswap_local.commands.logs import FUNCTIONS, EventReader, FileReader
from evswap_local.layout import Checkout
from tests.local.real import ROOT


def test_every_function_can_be_asked_for() -> None:
    functions = yaml.safe_load((Checkout(ROOT).stack / "functions.yaml").read_text())["functions"]
    assert set(FUNCTIONS) == functions.keys()


def test_a_file_is_read_from_its_last_lines_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    reader = FileReader(log, 2)
    assert list(reader.new_lines()) == []
    log.write_text("1\n2\n3\n")
    assert list(reader.new_lines()) == ["2", "3"]
    assert list(reader.new_lines()) == []
    with log.open("a") as more:
        more.write("4\n")
    assert list(reader.new_lines()) == ["4"]


def test_a_file_that_was_replaced_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("1\n2\n")
    reader = FileReader(log, 9)
    assert list(reader.new_lines()) == ["1", "2"]
    log.rename(tmp_path / "log.1")
    log.write_text("new\n")
    assert list(reader.new_lines()) == ["new"]


def test_events_of_the_same_millisecond_are_told_once() -> None:
    events: list[tuple[int, str]] = [(1, "a"), (2, "b"), (2, "c")]
    reader = EventReader(lambda since: [event for event in events if event[0] >= since], 2)
    assert [line.split()[-1] for line in reader.new_lines()] == ["b", "c"]
    events += [(2, "d"), (3, "e")]
    assert [line.split()[-1] for line in reader.new_lines()] == ["d", "e"]
    assert list(reader.new_lines()) == []
