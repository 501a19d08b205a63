"""Register maps: what comes with the program, what a user may bring, and what is wrong with a file."""

from pathlib import Path

import pytest

from evswap_edge.documents import ConfigurationError, NameOrFile
from evswap_edge.registers import (
    Flag,
    MapKind,
    Table,
    UnknownMap,
    names,
    nearest_of,
    read_battery_map,
    read_charger_map,
    read_climate_map,
    read_map,
)
from evswap_edge.registers.placing import placed, places

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
def test_every_map_of_ours_names_its_source(name: str) -> None:
    layout = read_map(NameOrFile(name))
    assert layout.title
    assert len(layout.document) > 20
    assert name in names(layout.kind)


@pytest.mark.parametrize("name", names(MapKind.CLIMATE))
def test_every_climate_map_of_ours_measures_what_a_cabinet_needs(name: str) -> None:
    layout = read_climate_map(NameOrFile(name))
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
    with pytest.raises(
        UnknownMap,
        match="for climate: hmp110, rs-ws-n01, sht20; for battery: bay-batteries, pace-bms, seplos-v3;",
    ) as refused:
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


BATTERY = """\
title: A battery of mine
document: its manual, page 7
kind: battery
factory: {baudrate: 9600, parity: even, stop_bits: 1, unit: 3}
soc: {table: input, address: 2, encoding: uint16, minimum: 0, maximum: 100}
soh: {table: input, address: 3, encoding: uint16, minimum: 0, maximum: 100}
voltage: {table: input, address: 4, encoding: uint16, scale: 0.01, minimum: 0, maximum: 100}
current: {table: input, address: 5, encoding: int32, scale: 0.001, minimum: -300, maximum: 300}
cycles: {table: input, address: 7, encoding: uint16, minimum: 0, maximum: 9999}
temperature:
  - {table: input, address: 8, encoding: int16, scale: 0.1, minimum: -40, maximum: 125}
serial_number: {table: holding, address: 16, registers: 8}
several: {bays: 30, apart: 0x20}
present: {name: present, table: input, address: 0, bit: 12, bits_apart: 1}
"""


@pytest.mark.parametrize(
    ("change", "line", "key", "said"),
    [
        (("kind: battery", "kind: batery"), 3, "kind", "did you mean 'battery'?"),
        (("kind: battery\n", ""), 4, "soc", "unknown key"),
        (("registers: 8", "registers: 26"), 12, "serial_number.registers", "<= 25; found 26"),
        (("address: 16, ", "address: 65530, "), 12, "serial_number", "behind the last register"),
        (("bit: 12", "bit: 16"), 14, "present.bit", "found 16"),
        (("several: {bays: 30", "several: {bays: 1"), 13, "several.bays", ">= 2; found 1"),
        (
            ("  - {table: input, address: 8", "  - {tabel: input, address: 8"),
            11,
            "temperature[0]",
            "unknown field tabel",
        ),
    ],
)
def test_a_mistake_in_a_battery_map_is_named_too(
    file: Path, change: tuple[str, str], line: int, key: str, said: str
) -> None:
    file.write_text(BATTERY.replace(*change))
    with pytest.raises(ConfigurationError) as refused:
        read_map(NameOrFile("mine", file))
    assert said in str(refused.value)
    assert (refused.value.line, refused.value.key.startswith(key)) == (line, True), refused.value.key


def test_a_switch_is_a_holding_register_with_two_positions(file: Path) -> None:
    charger = """\
title: A charger of mine
document: its manual, page 7
kind: charger
factory: {baudrate: 9600, parity: even, stop_bits: 1, unit: 3}
enabled: {name: output on, table: input, address: 1, bit: 0}
switch: {table: holding, address: 1, writes_on: 1, writes_off: 0}
"""
    file.write_text(charger)
    assert read_charger_map(NameOrFile("mine", file)).switch is not None
    for change, said in (
        (("switch: {table: holding", "switch: {table: input"), "only holding registers can be written"),
        (("writes_off: 0", "writes_off: 1"), "cannot be the same"),
    ):
        file.write_text(charger.replace(*change))
        with pytest.raises(ConfigurationError, match=said):
            read_map(NameOrFile("mine", file))


def test_a_map_of_another_kind_is_refused_with_the_nearest_of_the_right_one() -> None:
    with pytest.raises(ConfigurationError, match=r"is a map for charger, and one for battery is needed"):
        read_battery_map(NameOrFile("hep-2300"))
    assert nearest_of(MapKind.CHARGER, NameOrFile("bay-batteries")) == "bay-chargers"
    assert nearest_of(MapKind.CHARGER, NameOrFile("sht20")) in names(MapKind.CHARGER)


def test_the_bays_of_one_device_lie_apart_and_share_registers_of_bits(file: Path) -> None:
    file.write_text(BATTERY)
    first = read_battery_map(NameOrFile("mine", file))
    assert placed(first, 0) is first
    sixth = placed(first, 5)
    assert (sixth.soc.address, sixth.serial_number.address) == (2 + 5 * 0x20, 16 + 5 * 0x20)
    assert [each.address for each in sixth.temperature] == [8 + 5 * 0x20]
    assert sixth.present == Flag(name="present", table=Table.INPUT, address=1, bit=1, bits_apart=1)
    assert sixth.title == first.title
    with pytest.raises(ValueError, match="behind the last register"):
        placed(first, 2048)


def test_a_switch_is_not_read() -> None:
    layout = read_charger_map(NameOrFile("bay-chargers"))
    assert layout.switch is not None
    assert layout.switch not in places(layout)
    assert {layout.enabled, layout.current, layout.heartbeat, *layout.faults} == set(places(layout))
