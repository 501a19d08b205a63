"""The file in which it is kept what is locked out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge.safety.deciding import Cause
from evswap_edge.safety.latch import NOTHING, Kept, LatchDamaged, latch_beside, read_latch, write_latch

PLACES = st.integers(min_value=0, max_value=120)
KEPT = st.builds(
    Kept,
    latched=st.dictionaries(
        PLACES, st.dictionaries(st.sampled_from(Cause), st.text(max_size=80), min_size=1), max_size=5
    ),
    restore=st.lists(PLACES, max_size=5).map(tuple),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return latch_beside(tmp_path_factory.mktemp("latch") / "outbox.sqlite")


def test_a_station_where_nothing_was_ever_locked_out_has_none(tmp_path: Path) -> None:
    assert read_latch(latch_beside(tmp_path / "outbox.sqlite")) == NOTHING


@given(kept=KEPT)
def test_what_is_written_is_read(path: Path, kept: Kept) -> None:
    write_latch(path, kept)
    assert read_latch(path) == kept


@given(kept=KEPT, data=st.data())
def test_any_other_byte_is_damage(path: Path, kept: Kept, data: st.DataObject) -> None:
    write_latch(path, kept)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(min_value=0, max_value=len(content) - 1))
    content[at] ^= data.draw(st.integers(min_value=1, max_value=255))
    path.write_bytes(bytes(content))
    with pytest.raises(LatchDamaged):
        read_latch(path)


@given(kept=KEPT, data=st.data())
def test_so_is_any_shorter_file(path: Path, kept: Kept, data: st.DataObject) -> None:
    write_latch(path, kept)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(min_value=0, max_value=len(content) - 1))])
    with pytest.raises(LatchDamaged):
        read_latch(path)


@given(content=st.binary(max_size=200))
def test_so_is_anything_else(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(LatchDamaged):
        read_latch(path)


def test_a_file_that_cannot_be_read_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "latch"
    path.mkdir()
    with pytest.raises(LatchDamaged, match="directory"):
        read_latch(path)
