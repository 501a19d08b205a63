"""Registers into values: examples out of the manufacturers' documents, and any value there and back."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.documents import NameOrFile
from evswap_edge.drivers.modbus.decoding import Block, NotMeasured, blocks, contents, decode
from evswap_edge.emulators.encoding import encode
from evswap_edge.registers import Encoding, MapKind, Quantity, Table, WordOrder, names, read_climate_map

WIDE = {"minimum": -1e30, "maximum": 1e30}


def quantity(encoding: Encoding, **more: object) -> Quantity:
    return Quantity(**{"table": Table.INPUT, "address": 10, "encoding": encoding, **WIDE, **more})  # type: ignore[arg-type]


def value(one: Quantity, *words: int) -> float:
    return decode(one, contents(Block(one.table, one.address, len(words)), words))


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
    read = decode(one, {(one.table, register): word for register, word in written.items()})
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
