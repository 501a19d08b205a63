"""Register maps: what comes with the program, what a user may bring, and what is wrong with a file."""

from pathlib import Path

import pytest

from evswap_edge.documents import ConfigurationError, NameOrFile
from evswap_edge.registers import UnknownMap, names, read_climate_map

MAP = """\
title: A sensor of mine
document: its manual, page 7
factory: {baudrate: 9600, parity: even, stop_bits: 1, unit: 3}
temperature: {table: input, address: 0x0100, encoding: int16, scale: 0.1, minimum: -40, maximum: 85}
humidity: {table: input, address: 0x0101, encoding: uint16, scale: 0.1, minimum: 0, maximum: 100}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MAP)
    return path


@pytest.mark.parametrize("name", names())
def test_every_map_of_ours_names_its_source_and_measures_what_a_cabinet_needs(name: str) -> None:
    layout = read_climate_map(NameOrFile(name))
    assert layout.title
    assert len(layout.document) > 20
    assert layout.temperature.minimum <= -40
    assert layout.temperature.maximum >= 80
    assert (layout.humidity.minimum, layout.humidity.maximum) == (0, 100)


def test_a_file_of_the_users_is_a_map_too(file: Path) -> None:
    layout = read_climate_map(NameOrFile.parse("mine.yaml", folder=file.parent))
    assert layout.factory.unit == 3
    assert layout.temperature.address == 256


@pytest.mark.parametrize(
    ("text", "name", "is_file"),
    [
        ("sht20", "sht20", False),
        ("mine.yaml", "mine", True),
        ("./sht20", "sht20", True),
        ("/etc/evswap/m.yaml", "m", True),
    ],
)
def test_a_name_or_a_file(text: str, name: str, is_file: bool, tmp_path: Path) -> None:
    choice = NameOrFile.parse(text, folder=tmp_path)
    assert (choice.name, choice.file) == (name, tmp_path / text if is_file else None)


def test_an_unknown_map_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownMap, match="known are hmp110, rs-ws-n01, sht20") as refused:
        read_climate_map(NameOrFile("sth20"))
    assert refused.value.nearest == "sht20"


@pytest.mark.parametrize(
    ("change", "line", "key", "said"),
    [
        (
            ("scale: 0.1, minimum: -40", "scael: 0.1, minimum: -40"),
            4,
            "temperature.scael",
            "did you mean 'scale'?",
        ),
        (("document: its manual, page 7\n", ""), 1, "document", "is missing"),
        (("encoding: int16", "encoding: int8"), 4, "temperature.encoding", "invalid enum value 'int8'"),
        (("table: input, address: 0x0101", "table: coil, address: 1"), 5, "humidity.table", "'coil'"),
        (("unit: 3", "unit: 0"), 3, "factory.unit", ">= 1; found 0"),
        (("scale: 0.1, minimum: 0", "scale: 0, minimum: 0"), 5, "humidity", "scale cannot be 0"),
        (("maximum: 85", "maximum: -85"), 4, "temperature", "minimum has to be less than maximum"),
        (("address: 0x0100, encoding: int16", "address: 65535, encoding: int32"), 4, "temperature", "65535"),
    ],
)
def test_a_mistake_in_a_map_is_named_by_file_line_and_key(
    file: Path, change: tuple[str, str], line: int, key: str, said: str
) -> None:
    file.write_text(MAP.replace(*change))
    with pytest.raises(ConfigurationError) as refused:
        read_climate_map(NameOrFile("mine", file))
    assert (refused.value.file, refused.value.line, refused.value.key) == (file, line, key)
    assert said in str(refused.value)
