"""Registers into values: examples out of the manufacturers' documents, and any value there and back."""

import math
import re
import struct
from contextlib import suppress
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin

from evswap_edge.documents import NameOrFile
from evswap_edge.drivers.modbus.decoding import (
    Block,
    Contents,
    NotMeasured,
    NoValue,
    battery_decoder,
    blocks,
    charger_decoder,
    contents,
    decoder,
    hottest_decoder,
    joined,
    reference,
    text_decoder,
    yes_decoder,
)
from evswap_edge.emulators.encoding import encode, encode_text
from evswap_edge.hal import Charger
from evswap_edge.registers import (
    BatteryMap,
    ByteOrder,
    Encoding,
    Flag,
    MapKind,
    Quantity,
    Table,
    Text,
    WordOrder,
    names,
    read_battery_map,
    read_charger_map,
    read_climate_map,
    read_map,
)
from evswap_edge.registers.placing import places
from evswap_schema import Battery

WIDE = {"minimum": -1e30, "maximum": 1e30}


def quantity(encoding: Encoding, **more: object) -> Quantity:
    return Quantity(**{"table": Table.INPUT, "address": 10, "encoding": encoding, **WIDE, **more})  # type: ignore[arg-type]


def value(one: Quantity, *words: int) -> float:
    return decoder(one)(contents(Block(one.table, one.address, len(words)), words))


@pytest.mark.parametrize(
    ("registers", "what", "words", "expected"),
    [
        ("sht20", "temperature", [0x0131], 30.5),
        ("sht20", "temperature", [0xFF33], -20.5),
        ("sht20", "humidity", [0x0222], 54.6),
        ("rs-ws-n01", "humidity", [0x0292], 65.8),
        ("rs-ws-n01", "temperature", [0xFF9F], -9.7),
        ("hmp110", "humidity", [0x7AE1, 0x41F4], 30.56),
    ],
)
def test_the_examples_of_the_manufacturers(
    registers: str, what: str, words: list[int], expected: float
) -> None:
    assert value(getattr(read_climate_map(NameOrFile(registers)), what), *words) == expected


@pytest.mark.parametrize(
    ("encoding", "order", "words", "expected"),
    [
        (Encoding.INT16, WordOrder.HIGH_FIRST, [0x8000], -32768),
        (Encoding.UINT16, WordOrder.HIGH_FIRST, [0x8000], 32768),
        (Encoding.INT32, WordOrder.HIGH_FIRST, [0xFFFF, 0xFFFE], -2),
        (Encoding.INT32, WordOrder.LOW_FIRST, [0xFFFE, 0xFFFF], -2),
        (Encoding.UINT32, WordOrder.HIGH_FIRST, [0x0001, 0x0002], 65538),
        (Encoding.UINT32, WordOrder.LOW_FIRST, [0x0001, 0x0002], 131073),
        (Encoding.FLOAT32, WordOrder.HIGH_FIRST, [0xC2F6, 0xE666], -123.45),
        (Encoding.FLOAT32, WordOrder.LOW_FIRST, [0xE666, 0xC2F6], -123.45),
    ],
)
def test_sign_size_and_word_order(
    encoding: Encoding, order: WordOrder, words: list[int], expected: float
) -> None:
    assert value(quantity(encoding, word_order=order), *words) == expected


def test_scale_and_offset() -> None:
    """-45 + 175 * raw / 65535, the formula of Sensirion's SHT3x data sheet, section 4.13."""
    raw = quantity(Encoding.UINT16, scale=175 / 65535, offset=-45.0)
    assert value(raw, 0) == -45
    assert value(raw, 0xFFFF) == 130
    assert value(raw, 0x6666) == pytest.approx(25.0, abs=0.001)


@pytest.mark.parametrize(
    ("encoding", "words", "more", "reason"),
    [
        (Encoding.INT16, [0x8000], {"unavailable": (0x8000,)}, r"the device has no value \(0x8000\)"),
        (Encoding.UINT32, [0x7FFF, 0xFFFF], {"unavailable": (0x7FFF_FFFF,)}, "no value"),
        (Encoding.FLOAT32, [0x7FC0, 0x0000], {}, r"the device has no value \(nan\)"),
        (Encoding.FLOAT32, [0xFF80, 0x0000], {}, r"the device has no value \(-inf\)"),
        (Encoding.INT16, [851], {"scale": 0.1, "maximum": 85}, "85.1 is out of range, -1e.30 to 85"),
        (Encoding.INT16, [0xFE6F], {"scale": 0.1, "minimum": -40}, "-40.1 is out of range, -40 to"),
    ],
)
def test_what_is_no_measurement_says_why(
    encoding: Encoding, words: list[int], more: dict[str, object], reason: str
) -> None:
    with pytest.raises(NotMeasured, match=reason):
        value(quantity(encoding, **more), *words)


@given(
    encoding=st.sampled_from([each for each in Encoding if each is not Encoding.FLOAT32]),
    order=st.sampled_from(WordOrder),
    address=st.integers(min_value=0, max_value=0xFFFE),
    scale=st.sampled_from([1.0, 0.1, 0.01, -0.1]),
    offset=st.sampled_from([0.0, -45.0]),
    data=st.data(),
)
def test_what_a_device_encodes_is_what_is_read(
    encoding: Encoding, order: WordOrder, address: int, scale: float, offset: float, data: st.DataObject
) -> None:
    signed, bits = encoding.name.startswith("INT"), 16 * encoding.words
    least, greatest = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    number = data.draw(st.integers(min_value=least, max_value=greatest))
    one = quantity(encoding, word_order=order, address=address, scale=scale, offset=offset)
    written = encode(one, number * scale + offset)
    assert set(written) == set(range(address, address + encoding.words))
    read = decoder(one)({reference(one.table, register): word for register, word in written.items()})
    assert read == pytest.approx(number * scale + offset, abs=1e-4)


@given(number=st.floats(width=32, allow_nan=False, allow_infinity=False), order=st.sampled_from(WordOrder))
def test_floats_survive_too(number: float, order: WordOrder) -> None:
    one = quantity(Encoding.FLOAT32, word_order=order, minimum=-math.inf, maximum=math.inf)
    words = list(encode(one, number).values())
    assert value(one, *words) == round(number, 4)
    straight = words if order is WordOrder.HIGH_FIRST else words[::-1]
    assert struct.unpack(">f", struct.pack(">2H", *straight))[0] == number


def test_what_does_not_fit_is_the_nearest_that_does() -> None:
    assert encode(quantity(Encoding.UINT16, scale=0.1), 1e9) == {10: 0xFFFF}
    assert encode(quantity(Encoding.UINT16), -5) == {10: 0}
    assert encode(quantity(Encoding.INT16), -1e9) == {10: 0x8000}


# --- which registers are asked for ------------------------------------------------------------------------


@pytest.mark.parametrize("name", names(MapKind.CLIMATE))
def test_a_sensor_of_ours_is_read_by_one_question(name: str) -> None:
    layout = read_climate_map(NameOrFile(name))
    (block,) = blocks((layout.temperature, layout.humidity))
    assert block.count == layout.temperature.encoding.words + layout.humidity.encoding.words


def test_registers_with_a_gap_or_in_two_tables_are_two_questions() -> None:
    near, far = quantity(Encoding.INT32), quantity(Encoding.INT16, address=13)
    assert blocks((far, near)) == (Block(Table.INPUT, 10, 2), Block(Table.INPUT, 13, 1))
    held = quantity(Encoding.INT16, address=12, table=Table.HOLDING)
    assert blocks((near, held)) == (Block(Table.HOLDING, 12, 1), Block(Table.INPUT, 10, 2))


@given(
    st.lists(
        st.builds(
            lambda table, address, encoding: Quantity(
                table=table, address=address, encoding=encoding, minimum=0, maximum=1
            ),
            st.sampled_from(Table),
            st.integers(min_value=0, max_value=20),
            st.sampled_from(Encoding),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_what_is_asked_for_is_what_is_needed_and_nothing_else(quantities: list[Quantity]) -> None:
    needed = {(one.table, one.address + place) for one in quantities for place in range(one.encoding.words)}
    asked = [
        (block.table, block.address + place) for block in blocks(quantities) for place in range(block.count)
    ]
    assert sorted(asked) == sorted(needed)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from(Encoding)), min_size=1, max_size=20),
    st.integers(0, 64),
)
def test_whatever_is_read_across_all_is_asked_for_once_and_no_question_is_too_long(
    spans: list[tuple[int, Encoding]], read_across: int
) -> None:
    quantities = [quantity(encoding, address=address) for address, encoding in spans]
    asked = blocks(quantities, read_across=read_across)
    registers = [block.address + place for block in asked for place in range(block.count)]
    assert len(registers) == len(set(registers))
    assert {one.address + place for one in quantities for place in range(one.words)} <= set(registers)
    assert all(block.count <= 125 for block in asked)


# --- text, bits, whole devices ----------------------------------------------------------------------------


def text(registers: int, **more: object) -> Text:
    return Text(**{"table": Table.HOLDING, "address": 170, "registers": registers, **more})  # type: ignore[arg-type]


def read_text(one: Text, words: dict[int, int]) -> str:
    return text_decoder(one)({reference(one.table, address): word for address, word in words.items()})


@given(
    told=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=50),
    order=st.sampled_from(ByteOrder),
)
def test_a_serial_number_is_read_as_it_was_written(told: str, order: ByteOrder) -> None:
    one = text(25, byte_order=order)
    assert read_text(one, encode_text(one, told)) == told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([0x5041, 0x434B, 0x2020, 0x2020], "PACK"),
        ([0x5041, 0x434B, 0xFFFF, 0xFFFF], "PACK"),
        ([0x5041, 0x434B, 0x0041, 0x4141], "PACK"),
        ([0x2050, 0x4100, 0x0000, 0x0000], "PA"),
    ],
)
def test_what_pads_a_text_is_no_part_of_it(words: list[int], told: str) -> None:
    assert read_text(text(4), dict(enumerate(words, start=170))) == told


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([0, 0, 0, 0], "the device has none"),
        ([0xFFFF] * 4, "the device has none"),
        ([0x2020] * 4, "the device has none"),
        ([0x5041, 0x0243, 0, 0], "is no text"),
        ([0x50C4, 0, 0, 0], "is no text"),
    ],
)
def test_what_is_no_text_says_so(words: list[int], why: str) -> None:
    with pytest.raises(NotMeasured, match=why):
        read_text(text(4), dict(enumerate(words, start=170)))


@given(bit=st.integers(0, 15), means_yes=st.integers(0, 1), word=st.integers(0, 0xFFFF))
def test_a_flag_is_its_bit_and_no_other(bit: int, means_yes: int, word: int) -> None:
    flag = Flag(name="it", table=Table.INPUT, address=1, bit=bit, means_yes=means_yes)
    assert yes_decoder(flag)({reference(Table.INPUT, 1): word}) is ((word & 1 << bit != 0) == bool(means_yes))


def test_the_hottest_place_counts_and_one_without_a_sensor_does_not() -> None:
    places = [
        quantity(Encoding.INT16, address=address, scale=0.1, maximum=125, minimum=-40, unavailable=(0x8000,))
        for address in (1, 2, 3)
    ]

    hottest_of = hottest_decoder(places)

    def read(*words: int) -> float:
        return hottest_of(contents(Block(Table.INPUT, 1, len(words)), words))

    assert read(250, 0x8000, 312) == 31.2
    with pytest.raises(NoValue):
        read(0x8000, 0x8000, 0x8000)
    with pytest.raises(NotMeasured, match="out of range"):
        read(250, 9000, 312)


SEPLOS_PIA: Final = bytes.fromhex(
    "1494 f4c9 56f4 6d60 01a6 031b 03e5 001a 0cdc 0b7d 0cde 0cd9 0b80 0b77 0000 0046 0046 03e8"
)
"""What a Seplos BMS 3.0 once answered to the question for its table PIA, as published: discharging."""
SERIAL: Final = "SP05B23112600"


def capture(layout: BatteryMap, pia: bytes) -> Contents:
    words = struct.unpack(">18H", pia)
    serial_number = encode_text(layout.serial_number, SERIAL)
    return {
        **contents(Block(Table.INPUT, 0x1000, 18), words),
        **{reference(Table.INPUT, address): word for address, word in serial_number.items()},
    }


def test_a_published_capture_of_a_real_battery() -> None:
    layout = read_battery_map(NameOrFile("seplos-v3"))
    assert battery_decoder(layout)(capture(layout, SEPLOS_PIA)) == Battery(
        serial_number=SERIAL, soc=79.5, soh=99.7, voltage=52.68, current=-28.71, temperature=21.25, cycles=26
    )


@pytest.mark.parametrize(
    ("register", "word", "why"),
    [
        (5, 1001, "soc: 100.1 is out of range, 0 to 100"),
        (0, 10_001, "voltage: 100.01 is out of range, 0 to 100"),
        (12, 4000, "temperature: 126.85 is out of range, -40 to 125"),
    ],
)
def test_one_impossible_value_makes_the_battery_unknown_and_is_named(
    register: int, word: int, why: str
) -> None:
    layout = read_battery_map(NameOrFile("seplos-v3"))
    spoilt = SEPLOS_PIA[: 2 * register] + word.to_bytes(2, "big") + SEPLOS_PIA[2 * register + 2 :]
    with pytest.raises(NotMeasured, match=re.escape(why)):
        battery_decoder(layout)(capture(layout, spoilt))


def test_what_a_map_allows_and_the_contract_does_not_is_no_battery() -> None:
    layout = read_battery_map(NameOrFile("seplos-v3"))
    generous = msgspec.structs.replace(layout, soc=msgspec.structs.replace(layout.soc, maximum=200))
    spoilt = SEPLOS_PIA[:10] + (1200).to_bytes(2, "big") + SEPLOS_PIA[12:]
    with pytest.raises(NotMeasured, match=r"no battery that the contract knows: .*soc"):
        battery_decoder(generous)(capture(layout, spoilt))


@given(data=st.data(), name=st.sampled_from(names(MapKind.BATTERY)))
def test_whatever_registers_hold_it_is_a_battery_of_the_contract_or_none(
    data: st.DataObject, name: str
) -> None:
    layout = read_battery_map(NameOrFile(name))
    words = {
        reference(block.table, block.address + place): data.draw(st.integers(0, 0xFFFF))
        for block in blocks(places(layout))
        for place in range(block.count)
    }
    with suppress(NotMeasured):
        battery = battery_decoder(layout)(words)
        msgspec.convert(msgspec.to_builtins(battery), Battery | None)
        assert battery is not None or layout.present


@pytest.mark.parametrize(("word", "enabled"), [(0x0000, True), (0x0040, False)])
def test_the_output_of_a_hep_2300_is_its_feedback_and_not_the_order(word: int, enabled: bool) -> None:
    layout = read_charger_map(NameOrFile("hep-2300"))
    output = reference(Table.HOLDING, 0x0040)
    registers = {output: word, reference(Table.INPUT, 0x0061): 1250}
    assert charger_decoder(layout)(registers) == Charger(enabled=enabled, current=12.5)
    faults = {**registers, output: word | 0b1000_0010}
    told = "over temperature (OTP), high internal temperature (HI_TEMP)"
    assert charger_decoder(layout)(faults).fault == told


@pytest.mark.parametrize(("name", "questions"), [("pace-bms", 2), ("seplos-v3", 2), ("hep-2300", 2)])
def test_how_often_a_device_of_ours_is_asked(name: str, questions: int) -> None:
    layout = read_map(NameOrFile(name))
    assert len(blocks(places(layout), read_across=layout.read_across)) == questions


# --- several questions in one ---------------------------------------------------------------------------


BLOCKS = st.lists(
    st.builds(Block, st.sampled_from(Table), st.integers(0, 300), st.integers(1, 40)), min_size=1, max_size=30
)


@given(several=BLOCKS, read_across=st.integers(0, 20), most=st.integers(1, 125))
def test_what_is_asked_together_holds_each_part_whole_and_nothing_far_from_it(
    several: list[Block], read_across: int, most: int
) -> None:
    wholes = joined(several, read_across=read_across, most=most)
    needed = {(one.table, address) for one in several for address in range(one.address, one.end)}
    assert all(any(whole.holds(one) for whole in wholes) for one in several)
    for whole in wholes:
        inside = [one for one in several if whole.holds(one)]
        assert whole.count <= most or any(one.count > most for one in inside) or len(set(inside)) == 1
        unneeded = [
            address for address in range(whole.address, whole.end) if (whole.table, address) not in needed
        ]
        runs = "".join("." if address in unneeded else "#" for address in range(whole.address, whole.end))
        assert all(len(run) <= read_across for run in runs.split("#"))


@given(encoding=st.sampled_from(Encoding), words=st.lists(st.integers(0, 0xFFFF), min_size=2, max_size=2))
def test_numbers_are_read_as_the_library_reads_them(encoding: Encoding, words: list[int]) -> None:
    one = quantity(encoding)
    library = ModbusClientMixin.convert_from_registers(
        words[: encoding.words], ModbusClientMixin.DATATYPE[encoding.name]
    )
    assert isinstance(library, int | float)
    if not math.isfinite(library) or abs(library) > WIDE["maximum"]:
        return
    assert value(one, *words[: encoding.words]) == round(float(library), 4)
