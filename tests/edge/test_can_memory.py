"""What may be believed of a bay: nothing that is old, spoilt, stands still, or belongs to another battery."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import can
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evswap_edge.documents import NameOrFile
from evswap_edge.drivers.can import read_layout
from evswap_edge.drivers.can.decoding import Report
from evswap_edge.drivers.can.frames import Frames
from evswap_edge.drivers.can.memory import Ear, Hearing, Slate
from evswap_edge.emulators.can_bms import BmsEmulator, Fault
from evswap_edge.hal import Unread
from tests.edge.can_bus import OURS, profile_of
from tests.edge.can_profiles import counted, shared, theirs

__all__ = ["counted", "shared", "theirs"]

ROUND_S = 0.1
STALE_AFTER_S = 0.5
EXCHANGE_ROUNDS = 6
"""Nobody takes one battery out and puts another in before the first one's messages are old."""


class Talk:
    """One bay, its slate, and time."""

    def __init__(self, profile: NameOrFile = OURS, *, stale_after_s: float = STALE_AFTER_S) -> None:
        with can.Bus(interface="virtual", channel="unheard") as bus:
            self.emulator = BmsEmulator(profile_of(profile), bus=bus, bays=[1], slow_rounds=3)
        self.bay = self.emulator.bays[1]
        self.layout = read_layout(profile)
        self.slate = Slate(self.layout, stale_after_s=stale_after_s)
        self.hearing = Hearing([self.slate], self.by_identifier(self.slate))
        self.now = 1_000.0
        self.began = self.now
        self._kinds = {kind.message.frame_id: kind for kind in self.layout.kinds.values()}

    def by_identifier(self, slate: Slate) -> Mapping[int, Ear]:
        return {kind.message.frame_id: slate.ears[name] for name, kind in self.layout.kinds.items()}

    def rounds(self, count: int, *, but: Sequence[str] = ()) -> None:
        for _ in range(count):
            self.now += ROUND_S
            for message in self.emulator.frames():
                kind = self._kinds.get(message.arbitration_id)
                if kind is not None and kind.name not in but:
                    self.hear(kind.name, bytes(message.data))

    def hear(self, name: str, data: bytes) -> None:
        identifier = self.layout.kinds[name].message.frame_id
        self.hearing.hear(Frames.of([(identifier, data, self.now)]))

    def read(self) -> Report | Unread | None:
        return self.slate.read(self.now, listening_since=self.began)

    def serial(self) -> str | None:
        """Of the battery that would be published."""
        said = self.read()
        return said.battery.serial_number if isinstance(said, Report) else None

    def reason(self) -> str:
        said = self.read()
        assert isinstance(said, Unread), said
        return said.reason

    def fault(self, name: Fault) -> None:
        assert self.emulator.obey(f"fault 1 {name}") == "ok"


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_a_battery_is_known_when_all_was_said(talk: Talk) -> None:
    assert talk.reason() == "BmsState has not been heard"
    talk.rounds(1)
    assert talk.reason().startswith("BmsState has not been heard; it has been heard once, and its counter")
    talk.rounds(1)
    assert talk.reason() == "BmsIdentity part 0 has not been heard"
    talk.rounds(2)
    assert talk.serial() == "EVB-0001"


def test_what_was_not_repeated_is_old_and_named_with_its_age(talk: Talk) -> None:
    talk.rounds(5)
    talk.rounds(8, but=["BmsPack"])
    assert talk.reason() == "BmsPack is 0.8 s old"
    talk.rounds(2)
    assert talk.serial() == "EVB-0001"


def test_what_was_believed_a_moment_ago_grows_old_though_nothing_is_heard(talk: Talk) -> None:
    talk.rounds(5)
    assert talk.serial() == "EVB-0001"
    talk.now += STALE_AFTER_S + ROUND_S
    assert talk.reason() == "BmsState is 0.6 s old"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.SILENT, "BmsState is 0.6 s old"),
        (Fault.WRONG_LENGTH, "BmsState is 0.6 s old; it arrives with 7 bytes instead of 8"),
        (Fault.CRC, "BmsState is 0.6 s old; it arrives with a wrong checksum"),
        (Fault.OUT_OF_RANGE, "soc: BmsState.Soc is 655.35, out of the range of its DBC file, 0 to 100"),
    ],
)
def test_each_fault_has_its_reason_and_passes(talk: Talk, fault: Fault, reason: str) -> None:
    talk.rounds(5)
    talk.fault(fault)
    talk.rounds(6)
    assert talk.reason() == reason
    talk.fault(Fault.NONE)
    talk.rounds(5)
    assert talk.serial() == "EVB-0001"


def test_a_counter_that_stands_still_is_an_old_message_however_often_it_comes(talk: Talk) -> None:
    talk.rounds(5)
    talk.fault(Fault.FROZEN)
    talk.rounds(9)
    assert "; it arrives with a counter that stands still at " in talk.reason()


def test_a_frozen_system_is_not_believed_from_the_beginning(talk: Talk) -> None:
    talk.fault(Fault.FROZEN)
    talk.rounds(10)
    assert talk.reason() == "BmsState has not been heard; it arrives with a counter that stands still at 1"


def test_one_spoilt_frame_costs_nothing() -> None:
    talk = Talk(stale_after_s=1.0)
    talk.rounds(5)
    for fault in (Fault.CRC, Fault.WRONG_LENGTH, Fault.SILENT):
        talk.fault(fault)
        talk.rounds(1)
        talk.fault(Fault.NONE)
        assert talk.serial() == "EVB-0001"
        talk.rounds(1)


def test_a_bay_says_that_it_is_empty_and_nothing_else_is_asked_of_it(talk: Talk) -> None:
    talk.rounds(5)
    talk.emulator.obey("remove 1")
    talk.rounds(1)
    assert talk.read() is None
    talk.rounds(20)
    assert talk.read() is None
    talk.fault(Fault.SILENT)
    talk.rounds(8)
    assert talk.reason() == "BmsState is 0.8 s old"


def test_fault_bits_come_with_the_values(talk: Talk) -> None:
    talk.emulator.obey("report 1 CellOverVoltage InternalFault")
    talk.rounds(5)
    said = talk.read()
    assert isinstance(said, Report)
    assert said.faults == ("CellOverVoltage", "InternalFault")


# --- one battery and the next -----------------------------------------------------------------------------


def test_a_battery_that_is_exchanged_between_two_readings_is_not_mixed_with_the_next(talk: Talk) -> None:
    """The new one speaks at once, and of its serial number last."""
    talk.rounds(5)
    talk.emulator.obey("remove 1")
    talk.rounds(1)
    talk.emulator.obey("insert 1 EVB-0099")
    talk.rounds(2, but=["BmsIdentity"])
    assert talk.reason() == "BmsIdentity part 0 has not been heard"
    talk.rounds(3)
    assert talk.serial() == "EVB-0099"


@pytest.mark.parametrize("serial", ["XYZ-0001", "EVB-0001-LONGER-1", "EVB-0002"])
def test_a_serial_number_is_never_put_together_of_two(talk: Talk, serial: str) -> None:
    talk.bay.serial_number = "EVB-0001-LONGER-2"
    talk.rounds(6)
    talk.bay.serial_number = serial
    seen = set()
    for _ in range(8):
        talk.rounds(1)
        seen.add(talk.serial())
    assert seen <= {None, "EVB-0001-LONGER-2", serial}
    assert talk.serial() == serial


def test_after_a_pause_in_which_a_battery_could_be_exchanged_all_has_to_be_said_again(
    theirs: NameOrFile,
) -> None:
    """Also what may be old: here the cells, of which 30 s would do."""
    talk = Talk(theirs)
    talk.bay.serial_number = "1"
    talk.rounds(5)
    assert talk.serial() == "1"
    talk.now += STALE_AFTER_S + ROUND_S
    talk.bay.serial_number = "1"
    talk.rounds(1, but=["Cells"])
    assert talk.reason() == "Cells part 1 has not been heard"


@settings(max_examples=60, deadline=None)
@example([(Fault.FROZEN, 1), ("exchange", 2), (Fault.NONE, 1)])
@given(st.lists(st.tuples(st.sampled_from(["exchange", *Fault]), st.integers(1, 9)), max_size=8))
def test_whatever_happens_values_and_serial_number_belong_together(story: list[tuple[str, int]]) -> None:
    """The state of charge says which battery it is: what is published is of one battery, and of one that was
    there within the time after which a message is old."""
    talk = Talk()
    number, there = 1, [(talk.now, 1)]
    talk.bay.serial_number, talk.bay.values["soc"] = "EVB-1", 1.0
    for what, rounds in story:
        if what == "exchange":
            talk.emulator.obey("remove 1")
            talk.rounds(EXCHANGE_ROUNDS)
            number += 1
            talk.emulator.obey(f"insert 1 EVB-{number}")
            talk.bay.values["soc"] = float(number)
            there.append((talk.now, number))
        else:
            talk.fault(Fault(what))
        for _ in range(rounds):
            talk.rounds(1)
            said = talk.read()
            if isinstance(said, Report):
                assert said.battery.serial_number == f"EVB-{said.battery.soc:g}"
                left = next((at for at, who in there if who > said.battery.soc), talk.now)
                assert talk.now - left <= STALE_AFTER_S + 2 * ROUND_S
    talk.fault(Fault.NONE)
    talk.rounds(9)
    assert talk.serial() == f"EVB-{number}"


# --- many at once -----------------------------------------------------------------------------------------


class Twice:
    """One bay that is heard twice: frames by bursts, and each by its ear."""

    def __init__(self, profile: NameOrFile) -> None:
        self.talk = Talk(profile)
        self.alone = Slate(self.talk.layout, stale_after_s=STALE_AFTER_S)
        self._ears = self.talk.by_identifier(self.alone)
        self._waiting: list[tuple[int, bytes, float]] = []

    def rounds(self, count: int, spoil: Callable[[bytes], Sequence[bytes]]) -> None:
        for _ in range(count):
            for message in self.talk.emulator.frames():
                self.talk.now += ROUND_S / 8
                for data in spoil(bytes(message.data)):
                    self._say(message.arbitration_id, data)

    def _say(self, identifier: int, data: bytes) -> None:
        self._waiting.append((identifier, data, self.talk.now))
        if (ear := self._ears.get(identifier)) is not None:
            guard = ear.kind.guard
            wrong = guard.wrong_in(Frames.of(self._waiting[-1:]).rows)[0] if guard else 0
            ear.hear(int.from_bytes(data, "little"), len(data), self.talk.now, wrong)

    def said(self) -> tuple[str, str]:
        """The same of both, as far as anybody can tell."""
        self.talk.hearing.hear(Frames.of(self._waiting))
        self._waiting.clear()
        both = [
            repr(slate.read(self.talk.now, listening_since=self.talk.began))
            for slate in (self.talk.slate, self.alone)
        ]
        assert self.talk.slate.heard_at == self.alone.heard_at
        return both[0], both[1]


def _whole(data: bytes) -> Sequence[bytes]:
    return (data,)


SPOILT: Final[Mapping[str, Callable[[bytes], Sequence[bytes]]]] = {
    "whole": _whole,
    "twice": lambda data: (data, data),
    "a bit": lambda data: (data[:3] + bytes([data[3] ^ 4]) + data[4:] if len(data) > 3 else data,),
    "before": lambda data: (data[:1] + bytes(len(data) - 1), data),
    "behind": lambda data: (data, bytes([data[0] ^ 1]) + data[1:]),
    "short": lambda data: (data[:-1], data),
    "another part": lambda data: (data, bytes([data[0] ^ 0x30]) + data[1:]),
}
STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(["exchange", "pause", *Fault, *[Fault.NONE] * 8]),
        st.integers(0, 9),
        st.sampled_from(["whole"] * 6 + [*SPOILT]),
    ),
    max_size=10,
)


@pytest.mark.parametrize("profile", ["ours", "theirs", "counted", "shared"])
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(story=[("none", 3, "another part"), ("none", 4, "another part")])
@given(story=STEPS)
def test_frames_of_a_burst_are_judged_as_if_each_had_come_alone(
    story: list[tuple[str, int, str]],
    profile: str,
    theirs: NameOrFile,
    counted: NameOrFile,
    shared: NameOrFile,
) -> None:
    """Whatever is wrong with some of them, and whatever becomes of the battery meanwhile."""
    profiles = {"ours": OURS, "theirs": theirs, "counted": counted, "shared": shared}
    twice = Twice(profiles[profile])
    emulator, number = twice.talk.emulator, 1
    emulator.obey("set 1 serial 1")
    twice.rounds(5, _whole)
    for step, (what, rounds, how) in enumerate(story):
        emulator.obey(f"set 1 temperature {60 - step}")
        if what == "exchange":
            emulator.obey("remove 1")
            twice.rounds(rounds // 2, SPOILT[how])
            number += 1
            emulator.obey(f"insert 1 {number}")
        elif what == "pause":
            twice.talk.now += rounds * ROUND_S
        else:
            emulator.bays[1].fault = Fault.NONE
            emulator.obey(f"fault 1 {what}")
        twice.rounds(rounds, SPOILT[how])
        in_bursts, alone = twice.said()
        assert in_bursts == alone


# --- silence ----------------------------------------------------------------------------------------------


def test_silence_is_an_empty_bay_only_where_the_profile_says_so(theirs: NameOrFile) -> None:
    talk = Talk(theirs)
    talk.bay.serial_number = "77"
    talk.rounds(1)
    assert "has not been heard" in talk.reason()
    talk.rounds(4)
    assert talk.serial() == "77"
    talk.emulator.obey("remove 1")
    talk.rounds(4)
    assert talk.serial() == "77"
    talk.rounds(2)
    assert talk.read() is None


def test_silence_is_known_only_after_listening(theirs: NameOrFile) -> None:
    talk = Talk(theirs)
    talk.now += 0.3
    assert talk.reason() == "nothing heard yet in 0.3 s; silence is known after 0.5"
    talk.now += 0.2
    assert talk.read() is None


def test_a_part_of_the_messages_is_no_silence(theirs: NameOrFile) -> None:
    talk = Talk(theirs)
    talk.bay.serial_number = "77"
    talk.rounds(5)
    talk.rounds(8, but=["Values", "Cells"])
    assert talk.reason() == "Values is 0.8 s old"


def test_parts_that_nobody_reads_are_not_kept(theirs: NameOrFile, tmp_path: Path) -> None:
    talk = Talk(theirs)
    for part in range(16):
        talk.hear("Cells", bytes([part << 4, *bytes(7)]))
    heard = {slot: cell.word >> 4 & 15 for slot, cell in talk.slate._cells.items() if cell.at == talk.now}
    assert heard == {("Cells", 1): 1, ("Cells", 2): 2}
