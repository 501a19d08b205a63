"""What bays have said lately, and what may be believed of it: no I/O, and no clock but the caller's."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from evswap_edge.dbc import Silence
from evswap_edge.drivers.can.bus import Key
from evswap_edge.drivers.can.decoding import NotMeasured, Report, Words, decode, is_present
from evswap_edge.drivers.can.frames import Frames
from evswap_edge.drivers.can.layout import FrameKind, Layout, PartKind, Slot
from evswap_edge.hal import Unread

Outcome = Report | Unread | None
"""What may be published of a bay; None is an empty one."""


@dataclass(frozen=True, slots=True)
class _Complaint:
    """What was wrong with a frame that was not taken."""

    text: str
    at: float


class _Cell:
    """The newest good frame of a slot, as a little-endian number, and when it came; and by what the next one
    is compared with it."""

    __slots__ = ("at", "counter_mask", "identity", "length", "word")

    def __init__(self, kind: FrameKind) -> None:
        self.length = kind.length
        self.counter_mask = kind.counter_mask
        self.identity = 0
        self.word = 0
        self.clear()

    def clear(self) -> None:
        """No moment is near enough to this one for the next frame to be compared."""
        self.at = -math.inf


class _Part:
    """The part of a message of one bay: what it fills, and which battery it said last that it is."""

    __slots__ = ("cells", "identity", "said")

    def __init__(self, kind: PartKind, cells: Mapping[Slot, _Cell]) -> None:
        self.cells = tuple(cells[slot] for slot in kind.slots)
        self.identity = kind.identity
        self.said: int | None = None


class Ear:
    """Hears one message of one bay. A frame that is of the wrong length, has a wrong checksum or a counter
    that stands still is not taken, so that what it would have replaced goes stale."""

    __slots__ = ("_any_part", "_counted_by", "_knows_count", "_parts", "_slate", "cells", "kind")

    def __init__(self, kind: FrameKind, slate: "Slate", parts: Mapping[PartKind, _Part]) -> None:
        self.kind = kind
        self._slate = slate
        self._parts = {number: parts[part] for number, part in kind.parts.items()}
        self._any_part = parts[kind.any_part]
        self.cells: Final = self._own_cells()
        self._counted_by = self.cells[0] if kind.part is None else _Cell(kind)
        """The frame that was taken last, of whatever part."""
        self._knows_count = kind.counter is None

    def _own_cells(self) -> Mapping[int, _Cell]:
        """The cells that can be looked up by what a frame says under the mask of its part: those that no two
        parts fill, of a message whose counter, if it has one, goes on from part to part in no other."""
        kind = self.kind
        if kind.part is None:
            parts = {0: self._any_part}
        elif self._any_part.cells or kind.counter is not None:
            return {}
        else:
            parts = self._parts
        for part in parts.values():
            for cell in part.cells:
                cell.identity = part.identity
        return {number: part.cells[0] for number, part in parts.items() if part.cells}

    def hear(self, word: int, length: int, at: float, is_wrong: int) -> None:
        """A frame came at the moment ``at``: its data as a little-endian number, and how many bytes that are;
        ``is_wrong`` is what its guard says of it."""
        slate, kind = self._slate, self.kind
        slate.heard_last(at)
        stands_still = not (word ^ self._counted_by.word) & kind.counter_mask and kind.counter is not None
        if is_wrong or length != kind.length or stands_still or not self._knows_count:
            slate.complain(kind.name, self._complaint(word, length, is_wrong), at)
            return
        slate.takes(at, counted=kind.counter is not None)
        self._counted_by.word = word
        part = self._parts.get(word & kind.part_mask, self._any_part)
        identity = word & part.identity
        if identity != part.said:
            if part.said is not None:
                slate.wipe()
            part.said = identity
        for cell in part.cells:
            cell.word, cell.at = word, at

    def _complaint(self, word: int, length: int, is_wrong: int) -> str:
        kind = self.kind
        if length != kind.length:
            return f"arrives with {length} bytes instead of {kind.length}"
        if is_wrong or kind.counter is None:  # without a counter, there is nothing else
            return "arrives with a wrong checksum"
        if self._knows_count:
            count = kind.counter.of(word.to_bytes(length, "little"))
            return f"arrives with a counter that stands still at {count}"
        self._knows_count = True
        self._counted_by.word = word
        # One frame alone does not show that its counter counts.
        return "has been heard once, and its counter has to count"


class Slate:
    """The newest good frame of each slot of one bay, which its ``ears`` write down; they are by the name of
    the message.

    What was said of one battery is never mixed with what is said of the next: presence or a part of the
    serial number that changes, or a pause in which a battery could have been exchanged, wipes the slate. That
    is a pause of all messages, or of all that count: what repeats itself is as good as silent, and says who
    it is all the same.
    """

    def __init__(self, layout: Layout, *, stale_after_s: float) -> None:
        self._layout = layout
        self._stale_after_s = stale_after_s
        self._patience_s = {name: kind.patience_s or stale_after_s for name, kind in layout.kinds.items()}
        self.exchanged_after_s: Final = min(self._patience_s.values())
        counting = [self._patience_s[name] for name, kind in layout.kinds.items() if kind.counter is not None]
        self._frozen_after_s = min(counting, default=math.inf)
        self._cells = {slot: _Cell(layout.kinds[slot[0]]) for slot in layout.slots}
        self._parts = {
            part: _Part(part, self._cells)
            for kind in layout.kinds.values()
            for part in (kind.any_part, *kind.parts.values())
        }
        self.ears: Final = {name: Ear(kind, self, self._parts) for name, kind in layout.kinds.items()}
        self._limits = [(self._cells[slot], self._patience_s[slot[0]]) for slot in layout.slots]
        self._counting = [cell for cell in self._cells.values() if cell.counter_mask]
        self._complaints: dict[str, _Complaint] = {}
        self._heard_at = self._taken_at = self._counted_at = -math.inf
        """When an ear heard something, when that was good, and when a counter moved on. What went from a
        burst into a cell is not in here."""
        self._report: Report | None = None
        """What the frames say, until there is another one: batteries and their faults are asked for in
        turn."""
        self._good_until = 0.0
        """When the first of those frames is too old."""

    @property
    def heard_at(self) -> float:
        """When the bay said something, be it good or not."""
        return max([self._heard_at, *[cell.at for cell in self._cells.values()]])

    def heard_last(self, at: float) -> None:
        """Something was said."""
        self._heard_at = at
        self.heard_more()

    def heard_more(self) -> None:
        """What was read may not be all any more."""
        self._report = None

    def complain(self, name: str, text: str, at: float) -> None:
        """A frame of the message ``name`` was not taken."""
        self._complaints[name] = _Complaint(text, at)

    def takes(self, at: float, *, counted: bool) -> None:
        """A frame is good; after a pause, all before it is of a battery that may be gone."""
        counted_at = max([self._counted_at, *[cell.at for cell in self._counting]])
        taken_at = max([self._taken_at, *[cell.at for cell in self._cells.values()]])
        if counted and at - counted_at > self._frozen_after_s:
            self.wipe()
        if at - taken_at > self.exchanged_after_s:
            self.wipe()
        self._taken_at = at
        self._counted_at = at if counted else counted_at

    def wipe(self) -> None:
        """Forget the battery."""
        for cell in self._cells.values():
            cell.clear()
        for part in self._parts.values():
            part.said = None

    def read(self, now: float, *, listening_since: float) -> Outcome:
        """What may be published of this bay."""
        return read_all(self._layout, {0: self}, now, listening_since=listening_since)[0]

    def known(self, now: float, *, listening_since: float) -> Outcome | Words:
        """The same, or the frames that have to be decoded for it."""
        if self._report is not None and now <= self._good_until:
            return self._report
        if self._layout.silence is Silence.EMPTY and self._is_silent(now):
            listened_s = now - listening_since
            if listened_s >= self._stale_after_s:
                return None
            return Unread(
                f"nothing heard yet in {listened_s:.1f} s; silence is known after {self._stale_after_s:g}"
            )
        try:
            return self._words(now)
        except NotMeasured as error:
            return Unread(error.reason)

    def decoded(self, outcome: Report | NotMeasured) -> Report | Unread:
        """What the frames were that had to be."""
        if isinstance(outcome, NotMeasured):
            return Unread(outcome.reason)
        self._report = outcome
        return outcome

    def _words(self, now: float) -> Words | None:
        """None is an empty bay. Raises ``NotMeasured``."""
        oldest = min([cell.at + limit_s for cell, limit_s in self._limits])
        self._good_until = oldest
        if self._layout.silence is Silence.EMPTY:
            self._good_until = min(oldest, self.heard_at + self._stale_after_s)
        if self._layout.presence is not None:
            if now > oldest:
                self._require_fresh(self._layout.slots[:1], now)
            first, _ = self._limits[0]
            if not is_present(self._layout, first.word.to_bytes(first.length, "little")):
                return None
        if now > oldest:
            self._require_fresh(self._layout.slots, now)
        return [cell.word for cell, _ in self._limits]

    def _is_silent(self, now: float) -> bool:
        return now - self.heard_at > self._stale_after_s

    def _require_fresh(self, slots: tuple[Slot, ...], now: float) -> None:
        for slot in slots:
            name, part = slot
            age_s, limit_s = now - self._cells[slot].at, self._patience_s[name]
            if age_s <= limit_s:
                continue
            title = name if part is None else f"{name} part {part}"
            age = "has not been heard" if math.isinf(age_s) else f"is {age_s:.1f} s old"
            raise NotMeasured(f"{title} {age}{self._why(name, now - limit_s)}")

    def _why(self, name: str, since: float) -> str:
        complaint = self._complaints.get(name)
        return f"; it {complaint.text}" if complaint and complaint.at >= since else ""


def read_all(
    layout: Layout, slates: Mapping[int, Slate], now: float, *, listening_since: float
) -> Mapping[int, Outcome]:
    """What may be published of each bay. Those of which something new was heard are decoded together."""
    known = {bay: slate.known(now, listening_since=listening_since) for bay, slate in slates.items()}
    undecoded = {bay: said for bay, said in known.items() if isinstance(said, list)}
    decoded = dict(zip(undecoded, decode(layout, [*undecoded.values()]), strict=True))
    return {
        bay: slates[bay].decoded(decoded[bay]) if isinstance(said, list) else said
        for bay, said in known.items()
    }


class Hearing:
    """All that is heard of the bays of a bus: each frame is judged, and goes to where it belongs.

    Nearly every frame follows a good one of its slot, soon, and says the same of which battery it is, a count
    further. It takes that one's place, and nothing else follows from it. All others are for the ears.
    """

    def __init__(
        self, slates: Collection[Slate], ears: Mapping[Key, Ear], *, heartbeat: Key | None = None
    ) -> None:
        self._slates = slates
        self._ears = ears
        self._heartbeat = heartbeat
        self._guards = {ear.kind.guard for ear in ears.values()}
        self._cells = {key: ear.cells[0] for key, ear in ears.items() if ear.kind.part is None}
        self._parts = {key: (ear.kind.part_mask, ear.cells) for key, ear in ears.items() if ear.kind.part}
        self._soon_s = min([slate.exchanged_after_s for slate in slates], default=0.0)
        self.heard_at: float | None = None
        """When somebody was heard last."""

    def hear(self, frames: Frames) -> None:
        """Judge what came."""
        for slate in self._slates:
            slate.heard_more()
        cell_of, parts_of, soon_s = self._cells.get, self._parts.get, self._soon_s
        heard_at = self.heard_at
        for key, word, length, at, is_wrong in zip(
            frames.identifiers,
            frames.words(),
            frames.lengths,
            frames.came_at,
            self._wrong_in(frames),
            strict=True,
        ):
            cell = cell_of(key)
            if cell is None and (parts := parts_of(key)) is not None:
                cell = parts[1].get(word & parts[0])
            if cell is not None and not is_wrong and at - cell.at <= soon_s and length == cell.length:
                changed = word ^ cell.word
                mask = cell.counter_mask
                if not changed & cell.identity and (changed & mask or not mask):
                    cell.word, cell.at = word, at
                    heard_at = at
                    continue
            if (ear := self._ears.get(key)) is not None:
                ear.hear(word, length, at, is_wrong)
                heard_at = at
            elif key == self._heartbeat:
                heard_at = at
        self.heard_at = heard_at

    def _wrong_in(self, frames: Frames) -> Sequence[int]:
        """For each frame, whether its checksum is wrong; nothing is said of those that no bay speaks."""
        nothing_wrong = bytes(len(frames))
        wrong = {guard: guard.wrong_in(frames.rows) if guard else nothing_wrong for guard in self._guards}
        if len(wrong) == 1:
            return next(iter(wrong.values()))
        guards = [ear.kind.guard if (ear := self._ears.get(key)) else None for key in frames.identifiers]
        return [wrong[guard][index] if guard else 0 for index, guard in enumerate(guards)]
