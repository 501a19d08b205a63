"""Profiles, DBC files and identifiers: what comes with the program, and mistakes by file, line and key."""

import re
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.config import read_station
from evswap_edge.dbc import UnknownProfile, names, read_profile
from evswap_edge.documents import ConfigurationError, NameOrFile
from evswap_edge.drivers import SettingRefused
from evswap_edge.drivers.can import Settings, check_can, read_layout
from evswap_edge.drivers.can.bus import Interface
from tests.edge.can_profiles import DBC, PROFILE, write

OURS = NameOrFile("evswap-bms")
NESTED = DBC.replace("T2 m1 : 23|8", "T2 m1M : 23|8") + "".join(
    f"SG_MUL_VAL_ 2566849024 {signal} Kind {part}-{part};\n"
    for signal, part in (("T1", 1), ("T2", 1), ("T3", 2), ("Cycles", 2))
)


@pytest.mark.parametrize("name", names())
def test_every_profile_of_ours_fits_its_dbc_file_and_names_its_source(name: str) -> None:
    layout = read_layout(NameOrFile(name))
    assert layout.profile.title
    assert "docs/" in layout.profile.document
    assert all(kind.guard is not None for kind in layout.kinds.values())


def test_the_largest_cabinet_has_room_in_11_bits() -> None:
    check_can(Settings(profile=OURS, channel="can0", bays="1-120"))


def test_an_unknown_profile_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownProfile, match="known are evswap-bms, or name a file: ") as refused:
        read_profile(NameOrFile("evswap-mbs"))
    assert refused.value.nearest == "evswap-bms"
    with pytest.raises(SettingRefused) as setting:
        check_can(Settings(profile=NameOrFile("evswap-mbs"), channel="can0", bays=1))
    assert (setting.value.setting, setting.value.nearest) == ("profile", "evswap-bms")


@pytest.mark.parametrize(
    ("change", "line", "key", "said"),
    [
        (("document: its protocol description, page 7\n", ""), 1, "document", "is missing"),
        (("dbc: theirs", "dcb: theirs"), 3, "dcb", "did you mean 'dbc'?"),
        (
            ("soc: Status.Soc", "soc: Statsu.Soc"),
            9,
            "battery.soc",
            "no message 'Statsu'; did you mean 'Status'?",
        ),
        (("soh: Status.Soh", "soh: Status.Shoh"), 10, "battery.soh", "no signal 'Shoh'; did you mean 'Soh'?"),
        (("soc: Status.Soc", "soc: Soc"), 9, "battery.soc", "found 'Soc'"),
        (("[Values.MilliVolts]", "[]"), 11, "battery.voltage.signals", "length >= 1"),
        (("scale: 0.001", "scale: 0"), 11, "battery.voltage", "scale cannot be 0"),
        (("scale: 0.001", "scael: 0.001"), 11, "battery.voltage.scael", "did you mean 'scale'?"),
        (("encoding: decimal", "encoding: ascii"), None, None, None),
        (
            ("signals: [Status.SerialHigh, Values.SerialLow], encoding: decimal", "signals: [Cells.Kind]"),
            8,
            "battery.serial_number.signals[0]",
            "Cells.Kind is no whole bytes, which characters have to be",
        ),
        (("heartbeat: Alive", "heartbeat: Alvie"), 6, "heartbeat", "did you mean 'Alive'?"),
        (("silence: empty", "silence: failed"), 1, "", "needs presence, or silence: empty"),
        (
            ("silence: empty", "silence: failed\npresence: {signal: Status.Alarm}"),
            1,
            "",
            "heartbeat belongs to silence: empty",
        ),
        (
            ("silence: empty", "silence: empty\npresence: {signal: Cells.Kind}"),
            6,
            "presence.signal",
            "comes in parts",
        ),
        (("kind: xor", "kind: crc9"), 16, "checksums[0].kind", "'crc9'"),
        (("Status.Check,", "Values.MilliVolts,"), 16, "checksums[0].signal", "is not one whole byte"),
        (
            ("checksums: [", "checksums: [{signal: Alive.Beat, kind: sum}, "),
            16,
            "checksums",
            "Alive holds nothing that is read",
        ),
        (
            ("checksums: [", "counters: [Cells.T1]\nchecksums: ["),
            16,
            "counters",
            "is not in every frame of Cells",
        ),
        (
            ("checksums: [", "counters: [Status.Soc, Status.Soh]\nchecksums: ["),
            16,
            "counters",
            "has a second one: Status.Soh",
        ),
        (("{Cells: 30}", "{Cell: 30}"), 17, "patience_s", "did you mean 'Cells'?"),
        (("{Cells: 30}", "{Cells: 0}"), 17, "patience_s", ">= 0.05"),
        (("stride: 1", "stride: 0"), 4, "stride", ">= 1"),
    ],
)
def test_a_mistake_in_a_profile_is_named_by_file_line_and_key(
    tmp_path: Path, change: tuple[str, str], line: int | None, key: str | None, said: str | None
) -> None:
    assert change[0] in PROFILE
    choice = write(tmp_path, profile=PROFILE.replace(*change))
    if said is None:
        read_layout(choice)
        return
    with pytest.raises(ConfigurationError) as refused:
        read_layout(choice)
    assert said in str(refused.value)
    assert (refused.value.file, refused.value.line) == (choice.file, line)
    assert refused.value.key == key


@pytest.mark.parametrize(
    ("dbc", "said"),
    [
        (None, "theirs.dbc: does not exist"),
        ("BO_ nonsense", "theirs.dbc: is no valid DBC file: "),
        (DBC.replace("SG_ Soh : 15|8", "SG_ Soh : 7|8"), "are overlapping"),
        (NESTED, "only one multiplexer in a message can be read"),
        (
            DBC + "SG_MUL_VAL_ 2566849024 Cycles Kind 1-2;\n",
            "a signal in several parts, which cannot be read",
        ),
    ],
)
def test_a_mistake_in_a_dbc_file_is_named_by_the_file(tmp_path: Path, dbc: str | None, said: str) -> None:
    choice = write(tmp_path, dbc=dbc or "")
    if dbc is None:
        (tmp_path / "theirs.dbc").unlink()
    with pytest.raises(ConfigurationError) as refused:
        check_can(Settings(profile=choice, channel="can0", bays=1))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "key", "said"),
    [
        (
            {"bays": "1-120", "stride": 16},
            "base",
            "bay 113 would be at 0x800, beyond the last identifier, 0x7ff",
        ),
        ({"bays": "1-2", "stride": 1}, "stride", "0x101 would be BmsState of bay 2 and BmsPack of bay 1"),
        ({"bays": "1-2", "nodes": (4, 4)}, "nodes", "0x120 would be BmsState of bay 2 and BmsState of bay 1"),
        ({"bays": "1-3", "nodes": (0, 1)}, "nodes", "names 2 nodes for 3 bays"),
        ({"base": 0x1FFF_FFFE}, "base", "beyond the last identifier, 0x1fffffff"),
        (
            {"interface": Interface.UDP_MULTICAST, "channel": "10.0.0.1"},
            "channel",
            "10.0.0.1 is no multicast group",
        ),
    ],
)
def test_identifiers_that_cannot_be_are_refused(settings: dict[str, Any], key: str, said: str) -> None:
    with pytest.raises(SettingRefused) as refused:
        check_can(Settings(**{"profile": OURS, "channel": "can0", "bays": 1, **settings}))
    assert refused.value.setting == key
    assert said in refused.value.problem


def test_the_example_of_the_documentation_is_a_profile(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "drivers-can.md").read_text()
    (example,) = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "title:" in text]
    dbc = DBC.replace("Alive", "CabinetAlive")
    dbc = dbc.replace(" SG_ Alarm", ' SG_ Counter : 23|4@0+ (1,0) [0|15] "" Cabinet\n SG_ Alarm')
    (tmp_path / "mine.dbc").write_text(dbc)
    (tmp_path / "mine.yaml").write_text(example)
    layout = read_layout(NameOrFile("mine", tmp_path / "mine.yaml"))
    assert layout.kinds["Status"].counter is not None


STATION = """\
station_id: station-01
driver:
  climate: {{name: simulated, bays: 1}}
  batteries: {{name: can, {settings}}}
transport: {{name: memory}}
outbox: {{path: outbox.sqlite}}
"""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("profile: evswap-bms, channel: can0, bays: 1-8, base: 0x600", None),
        ("profile: evswap-bms, bays: 1-8", "driver.batteries.channel: is missing"),
        ("profile: evswap-bms, channel: can 0, bays: 1-8", "driver.batteries.channel"),
        ("profile: evswap-bms, channel: can0, bays: 8-1", "is no range of bays"),
        ("profile: evswap-bsm, channel: can0, bays: 1-8", "did you mean 'evswap-bms'?"),
        ("profile: mine.yaml, channel: can0, bays: 1-8", "mine.yaml: does not exist"),
        ("profile: evswap-bms, chanel: can0, bays: 1-8", "did you mean 'channel'?"),
        ("profile: evswap-bms, channel: can0, bays: 1-8, interface: socket", "'socket'"),
    ],
)
def test_a_stations_file_is_checked_without_touching_hardware(
    tmp_path: Path, settings: str, said: str | None
) -> None:
    file = tmp_path / "station.yaml"
    file.write_text(STATION.format(settings=settings))
    if said is None:
        (station,) = read_station(file).stations
        assert "can" in station.driver.name
        return
    with pytest.raises(ConfigurationError) as refused:
        read_station(file)
    assert said in str(refused.value)
