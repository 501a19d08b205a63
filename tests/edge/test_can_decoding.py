"""Frames into batteries: every field, sign and byte order against a second arithmetic, and nothing that is no
measurement."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import can
import cantools
import pytest
from cantools.database import Database
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge import dbc
from evswap_edge.dbc import ChecksumKind
from evswap_edge.documents import NameOrFile
from evswap_edge.drivers.can import read_layout
from evswap_edge.drivers.can.checksums import CHECKS, guard_of
from evswap_edge.drivers.can.decoding import NotMeasured, Report, decode, is_present
from evswap_edge.drivers.can.frames import Frames
from evswap_edge.drivers.can.layout import Layout, Slot, bits_of
from evswap_edge.emulators.can_bms import BmsEmulator
from evswap_edge.emulators.can_dbc import read_frames
from tests.edge.can_bus import OURS, profile_of
from tests.edge.can_profiles import theirs

__all__ = ["theirs"]

ONE_SIGNAL = """\
BU_: A B

BO_ 256 Message: 8 A
 SG_ Signal : {start}|{length}@{order}{sign} ({scale},{offset}) [0|0] "" B
"""
SERIALS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=18)


def emulator(choice: NameOrFile, **values: Any) -> BmsEmulator:
    made = BmsEmulator(profile_of(choice), bus=can.Bus(interface="virtual", channel="unheard"), bays=[1])
    made.bays[1].values.update(values)
    return made


def frames_of(made: BmsEmulator, layout: Layout) -> Mapping[Slot, bytes]:
    """All that the emulated bay says, by slot, as the layout tells the frames apart."""
    found: dict[Slot, bytes] = {}
    for _ in range(4):
        for message in made.frames():
            for kind in layout.kinds.values():
                if kind.message.frame_id == message.arbitration_id:
                    data = bytes(message.data)
                    found[kind.name, kind.part.of(data) if kind.part else None] = data
    made._bus.shutdown()
    return {slot: found[slot] for slot in layout.slots}


def decoded(layout: Layout, frames: Mapping[Slot, bytes]) -> Report:
    """Alone, and between others that are not to be believed."""
    words = [int.from_bytes(frames[slot], "little") for slot in layout.slots]
    spoilt = [2**64 - 1] * len(words)
    (alone,) = decode(layout, [words])
    before, among, behind = decode(layout, [spoilt, words, spoilt])
    assert isinstance(before, NotMeasured)
    assert str(before) == str(behind)
    assert (among if isinstance(among, Report) else str(among)) == (
        alone if isinstance(alone, Report) else str(alone)
    )
    if isinstance(alone, NotMeasured):
        raise alone
    return alone


def report(choice: NameOrFile, serial: str, **values: Any) -> Report:
    layout, made = read_layout(choice), emulator(choice, **values)
    made.bays[1].serial_number = serial
    return decoded(layout, frames_of(made, layout))


@given(
    serial=SERIALS,
    soc=st.integers(0, 10_000),
    soh=st.integers(0, 10_000),
    voltage=st.integers(0, 60_000),
    current=st.integers(-20_000, 20_000),
    temperature=st.integers(-600, 2_000),
    cycles=st.integers(0, 65_000),
)
def test_every_battery_is_read_as_its_system_means_it(
    serial: str, soc: int, soh: int, voltage: int, current: int, temperature: int, cycles: int
) -> None:
    battery = report(
        OURS,
        serial,
        soc=soc / 100,
        soh=soh / 100,
        voltage=voltage / 100,
        current=current / 20,
        temperature=temperature / 10,
        cycles=cycles,
    ).battery
    assert battery.serial_number == serial
    assert (battery.soc, battery.soh, battery.voltage) == (soc / 100, soh / 100, voltage / 100)
    assert (battery.current, battery.temperature) == (round(current / 20, 4), temperature / 10)
    assert (battery.cycles, type(battery.cycles)) == (cycles, int)


@given(
    serial=st.integers(0, 2**48 - 1),
    voltage=st.integers(0, 60_000),
    current=st.integers(-4_000, 4_000),
    temperature=st.integers(-40, 150),
    cycles=st.integers(0, 10_000),
)
def test_so_is_one_of_another_make(
    theirs: NameOrFile, serial: int, voltage: int, current: int, temperature: int, cycles: int
) -> None:
    battery = report(
        theirs,
        str(serial),
        voltage=voltage / 1000,
        current=current / 10,
        temperature=temperature,
        cycles=cycles,
    ).battery
    assert battery.serial_number == str(serial)
    assert (battery.voltage, battery.current) == (voltage / 1000, current / 10)
    assert (battery.temperature, battery.cycles) == (temperature, cycles)


def test_a_frame_written_down_by_hand() -> None:
    """By the table in docs/drivers-can.md."""
    layout = read_layout(OURS)
    frames = {
        ("BmsState", None): bytes.fromhex("01 04 d2 1e 16 26 03 00"),
        ("BmsPack", None): bytes.fromhex("7c 14 38 ff 78 00 05 00"),
        ("BmsCells", None): bytes.fromhex("ec ff 9c ff 00 00 01 00"),
        ("BmsIdentity", 0): b"\x00EVB-00\x00",
        ("BmsIdentity", 1): b"\x0142\x00\x00\x00\x00\x00",
        ("BmsIdentity", 2): b"\x02\x00\x00\x00\x00\x00\x00\x00",
    }
    assert is_present(layout, frames["BmsState", None])
    said = decoded(layout, frames)
    assert said.faults == ("OverTemperature",)
    assert said.battery.serial_number == "EVB-0042"
    assert (said.battery.soc, said.battery.soh, said.battery.cycles) == (78.9, 97.5, 120)
    assert (said.battery.voltage, said.battery.current, said.battery.temperature) == (52.44, -10.0, -2.0)


def test_of_several_temperatures_the_highest_counts(theirs: NameOrFile) -> None:
    layout, made = read_layout(theirs), emulator(theirs, temperature=20)
    made.bays[1].serial_number = "7"
    frames = dict(frames_of(made, layout))
    for hottest, slot, byte in ((71, 1, 1), (72, 1, 2), (73, 2, 1)):
        data = bytearray(frames["Cells", slot])
        data[byte] = hottest + 40
        frames["Cells", slot] = bytes(data)
        assert decoded(layout, frames).battery.temperature == hottest


def test_a_bit_that_is_clear_for_a_fault_is_no_bit_that_is_clear_for_none(tmp_path: Path) -> None:
    """The DBC file gives it an offset: 0 on the wire is 1, a fault."""
    text = Path(dbc.__file__).with_name("evswap-bms.dbc").read_text()
    turned = re.sub(r"( SG_ OverTemperature : \d+\|1@1\+ )\(1,0\) \[0\|1\]", r"\1(-1,1) [0|1]", text)
    assert turned != text
    (tmp_path / "turned.dbc").write_text(turned)
    profile = Path(dbc.__file__).with_name("evswap-bms.yaml").read_text()
    file = tmp_path / "turned.yaml"
    file.write_text(profile.replace("evswap-bms.dbc", "turned.dbc"))
    layout = read_layout(NameOrFile("turned", file))
    made = emulator(OURS)
    made.bays[1].serial_number = "EVB-0001"
    said = decoded(layout, frames_of(made, read_layout(OURS)))
    assert said.faults == ("OverTemperature",)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (ChecksumKind.CRC8_SAE_J1850, 0x4B),
        (ChecksumKind.CRC8, 0xF4),
        (ChecksumKind.SUM, 0xDD),
        (ChecksumKind.XOR, 0x31),
    ],
)
def test_checksums_have_their_published_check_values(kind: ChecksumKind, expected: int) -> None:
    assert CHECKS[kind](b"123456789") == expected


@given(
    kind=st.sampled_from(ChecksumKind),
    length=st.integers(1, 8),
    place=st.integers(0, 7),
    several=st.lists(st.tuples(st.binary(min_size=8, max_size=8), st.integers(0, 255)), max_size=5),
    strangers=st.lists(st.binary(max_size=8), max_size=3),
)
def test_a_frame_is_whole_when_one_of_its_bytes_is_the_checksum_of_the_others(
    kind: ChecksumKind,
    length: int,
    place: int,
    several: list[tuple[bytes, int]],
    strangers: list[bytes],
) -> None:
    """Each by itself, whatever else has come with it."""
    frames: list[bytes] = []
    wrong: list[bool] = []
    for data, spoilt in several:
        byte, others = place % length, data[: length - 1]
        checksum = CHECKS[kind](others)
        for told in (checksum, spoilt):
            frames.append(others[:byte] + bytes([told]) + others[byte:])
            wrong.append(told != checksum)
    guard = guard_of(kind, byte=place % length, length=length)
    for sent in (frames, [*frames, *strangers]):
        found = guard.wrong_in(Frames.of((0, data, 0.0) for data in sent).rows)
        assert [bool(each) for each in found][: len(frames)] == wrong


@given(
    order=st.sampled_from("01"),
    sign=st.sampled_from("+-"),
    start=st.integers(0, 63),
    length=st.integers(1, 64),
    scale=st.sampled_from([1.0, 0.1, 0.05, -2.0]),
    offset=st.sampled_from([0.0, -40.0]),
    data=st.data(),
)
def test_three_arithmetics_agree_where_a_signal_lies(
    tmp_path_factory: pytest.TempPathFactory,
    order: str,
    sign: str,
    start: int,
    length: int,
    scale: float,
    offset: float,
    data: st.DataObject,
) -> None:
    """The emulator's, the driver's own (for counters, checksums, presence and serial numbers), and the
    library's."""
    file = tmp_path_factory.getbasetemp() / "one.dbc"
    file.write_text(
        ONE_SIGNAL.format(start=start, length=length, order=order, sign=sign, scale=scale, offset=offset)
    )
    frame = read_frames(file)["Message"]
    field = frame.fields["Signal"]
    if not all(byte < frame.length for byte, _ in field.places()):
        return
    number = data.draw(st.integers(0, field.full))
    packed = bytes(frame.pack({"Signal": number}))
    database = cantools.database.load_file(file)
    assert isinstance(database, Database)
    message = database.messages[0]
    assert bits_of(message.signals[0], frame_length=8).of(packed) == number
    signed = number - (1 << length) if sign == "-" and number >> length - 1 else number
    value = message.decode(packed)["Signal"]  # type: ignore[call-overload]
    assert value == pytest.approx(signed * scale + offset)
    if length < 50:
        assert field.raw(signed * scale + offset) == signed


@pytest.mark.parametrize(
    ("slot", "data", "reason"),
    [
        (
            ("BmsState", None),
            "01 00 11 27 16 26 03 00",
            "soc: BmsState.Soc is 100.01, out of the range of its DBC",
        ),
        (("BmsState", None), "01 00 ff ff 16 26 03 00", "soc: BmsState.Soc is 655.35"),
        (
            ("BmsPack", None),
            "ff ff 00 00 78 00 05 00",
            "voltage: BmsPack.Voltage is 655.35, out of .* 0 to 600",
        ),
        (("BmsPack", None), "7c 14 00 80 78 00 05 00", "current: BmsPack.Current is -1638.4"),
        (("BmsPack", None), "7c 14 00 00 ff ff 05 00", "cycles: BmsPack.Cycles is 65535"),
        (("BmsCells", None), "ff 7f 00 00 00 00 01 00", "temperature: BmsCells.HottestCell is 3276.7"),
        (("BmsIdentity", 0), "00 ff fe fd 00 00 00 00", "serial_number: ff fe fd .* is no text"),
        (("BmsIdentity", 0), "00 07 41 00 00 00 00 00", "serial_number: 07 41 .* is no text"),
        (("BmsIdentity", 0), "00 00 00 00 00 00 00 00", "serial_number: 00 00 .* is no text"),
    ],
)
def test_what_is_no_measurement_says_why(slot: Slot, data: str, reason: str) -> None:
    layout = read_layout(OURS)
    frames = {**frames_of(emulator(OURS), layout)}
    if slot[0] == "BmsIdentity":
        frames["BmsIdentity", 1] = bytes([1, *bytes(7)])
    frames[slot] = bytes.fromhex(data)
    with pytest.raises(NotMeasured, match=reason):
        decoded(layout, frames)


def test_a_value_beyond_the_contract_is_refused_too(tmp_path: Path) -> None:
    """Where the DBC file names no limits."""
    folder = profile_of().dbc.parent
    text = (folder / "evswap-bms.dbc").read_text().replace("[0|100]", "[0|0]")
    (tmp_path / "evswap-bms.dbc").write_text(text)
    (tmp_path / "mine.yaml").write_text((folder / "evswap-bms.yaml").read_text())
    layout = read_layout(NameOrFile("mine", tmp_path / "mine.yaml"))
    with pytest.raises(NotMeasured, match=r"soh: 120.0 is out of the range of the contract"):
        decoded(layout, frames_of(emulator(OURS, soh=120.0), layout))


def test_no_number_is_no_measurement(tmp_path: Path) -> None:
    folder = profile_of().dbc.parent
    text = (folder / "evswap-bms.dbc").read_text()
    text = text.replace("HottestCell : 0|16@1- (0.1,0) [-60|200]", "HottestCell : 0|32@1- (1,0) [0|0]")
    text = "\n".join(line for line in text.splitlines() if "ColdestCell" not in line)
    (tmp_path / "evswap-bms.dbc").write_text(text + "\nSIG_VALTYPE_ 258 HottestCell : 1;\n")
    (tmp_path / "mine.yaml").write_text((folder / "evswap-bms.yaml").read_text())
    layout = read_layout(NameOrFile("mine", tmp_path / "mine.yaml"))
    frames = {**frames_of(emulator(OURS), layout)}
    frames["BmsCells", None] = bytes.fromhex("00 00 c8 41 00 00 00 00")
    assert decoded(layout, frames).battery.temperature == 25.0
    for spoilt in ("00 00 c0 7f 00 00 00 00", "00 00 80 7f 00 00 00 00"):
        frames["BmsCells", None] = bytes.fromhex(spoilt)
        with pytest.raises(NotMeasured, match=r"temperature: BmsCells\.HottestCell is (nan|inf)"):
            decoded(layout, frames)


def test_a_presence_that_says_neither_is_a_fault() -> None:
    layout = read_layout(OURS)
    assert layout.presence is not None
    slot, bits, presence = layout.presence
    wide = Layout(
        **{
            **{name: getattr(layout, name) for name in layout.__slots__},
            "presence": (slot, type(bits)("little", 0, 3), presence),
        }
    )
    assert is_present(wide, bytes([1] + [0] * 7))
    assert not is_present(wide, bytes(8))
    with pytest.raises(NotMeasured, match=r"BmsState.Present is 3, which is neither occupied nor empty"):
        is_present(wide, bytes([3] + [0] * 7))


def test_serial_numbers_as_numbers(tmp_path: Path, theirs: NameOrFile) -> None:
    assert report(theirs, str(2**32 + 5)).battery.serial_number == "4294967301"
    assert theirs.file is not None
    text = theirs.file.read_text().replace("encoding: decimal", "encoding: hex")
    (tmp_path / "theirs.dbc").write_text((theirs.file.parent / "theirs.dbc").read_text())
    (tmp_path / "mine.yaml").write_text(text)
    assert (
        report(NameOrFile("mine", tmp_path / "mine.yaml"), "00AB0000C0DE").battery.serial_number
        == "00AB0000C0DE"
    )


def test_limits_are_those_of_the_dbc_file_not_of_binary_fractions() -> None:
    assert report(OURS, "A", soc=100.0, voltage=600.0, temperature=200.0).battery.soc == 100.0
    assert math.isclose(report(OURS, "A", current=-1000).battery.current, -1000)
