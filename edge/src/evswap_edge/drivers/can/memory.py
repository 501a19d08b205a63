"""What one bay has said lately, and what may be believed of it: no I/O, and no clock but the caller's."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from evswap_edge.dbc import Silence
from evswap_edge.drivers.can.decoding import NotMeasured, Report, decode, is_present
from evswap_edge.drivers.can.layout import FrameKind, Layout, PartKind, Slot
from evswap_edge.hal import Unread

_HAS_NO_COUNTER: Final = -1
"""In the place of a count: no frame says so."""


@dataclass(frozen=True, slots=True)
class _Complaint:
    """What was wrong with a frame that was not taken."""

    text: str
    at: float


class _Cell:
    """The newest good frame of a slot, and when it came."""

    __slots__ = ("at", "data")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.data = b""
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
    that stands still is not taken, so that what it would have replaced goes stale.

    All frames come by here: what is asked of each is kept at hand.
    """

    __slots__ = (
        "_any_part",
        "_count",
        "_counter_mask",
        "_length",
        "_part_mask",
        "_parts",
        "_slate",
        "guard",
        "kind",
    )

    def __init__(self, kind: FrameKind, slate: "Slate", parts: Mapping[PartKind, _Part]) -> None:
        self.kind = kind
        self.guard = kind.guard
        self._slate = slate
        self._length = kind.length
        self._counter_mask = kind.counter_mask
        self._count = _HAS_NO_COUNTER if kind.counter is None else None
        self._part_mask = kind.part_mask
        self._parts = {number: parts[part] for number, part in kind.parts.items()}
        self._any_part = parts[kind.any_part]

    def hear(self, data: bytes, at: float, is_wrong: int) -> None:
        """A frame came at the moment ``at``; ``is_wrong`` is what its guard says of it."""
        slate = self._slate
        slate.heard_at = at
        number = int.from_bytes(data, "little")
        count, last = number & self._counter_mask, self._count
        if is_wrong or len(data) != self._length or count == last or last is None:
            slate.complain(self.kind.name, self._complaint(data, count, is_wrong), at)
            return
        if last != _HAS_NO_COUNTER:
            self._count = count
            if at - slate.counted_at > slate.frozen_after_s:
                slate.wipe()
            slate.counted_at = at
        if at - slate.taken_at > slate.exchanged_after_s:
            slate.wipe()
        slate.taken_at = at
        slate.report = None
        part = self._parts.get(number & self._part_mask, self._any_part)
        identity = number & part.identity
        if identity != part.said:
            if part.said is not None:
                slate.wipe()
            part.said = identity
        for cell in part.cells:
            cell.data, cell.at = data, at

    def _complaint(self, data: bytes, count: int, is_wrong: int) -> str:
        kind = self.kind
        if len(data) != kind.length:
            return f"arrives with {len(data)} bytes instead of {kind.length}"
        if is_wrong or kind.counter is None:  # without a counter, there is nothing else
            return "arrives with a wrong checksum"
        if self._count is not None:
            return f"arrives with a counter that stands still at {kind.counter.of(data)}"
        self._count = count
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
        self.frozen_after_s: Final = min(counting, default=math.inf)
        self._cells = {slot: _Cell() for slot in layout.slots}
        self._parts = {
            part: _Part(part, self._cells)
            for kind in layout.kinds.values()
            for part in (kind.any_part, *kind.parts.values())
        }
        self.ears: Final = {name: Ear(kind, self, self._parts) for name, kind in layout.kinds.items()}
        self._limits = [(self._cells[slot], self._patience_s[slot[0]]) for slot in layout.slots]
        self._complaints: dict[str, _Complaint] = {}
        self.heard_at: float | None = None
        """When the bay said something, be it good or not."""
        self.taken_at = math.inf
        """When it said something good; there is no pause before the first of that."""
        self.counted_at = -math.inf
        """When a counter moved on."""
        self.report: Report | None = None
        """What the frames say, until there is another one: batteries and their faults are asked for in
        turn."""
        self._good_until = 0.0
        """When the first of those frames is too old."""

    def complain(self, name: str, text: str, at: float) -> None:
        """A frame of the message ``name`` was not taken."""
        self._complaints[name] = _Complaint(text, at)

    def wipe(self) -> None:
        """Forget the battery."""
        for cell in self._cells.values():
            cell.clear()
        for part in self._parts.values():
            part.said = None

    def read(self, now: float, *, listening_since: float) -> Report | Unread | None:
        """What may be published of this bay; None is an empty one."""
        if self.report is not None and now <= self._good_until:
            return self.report
        if self._layout.silence is Silence.EMPTY and self._is_silent(now):
            listened_s = now - listening_since
            if listened_s >= self._stale_after_s:
                return None
            return Unread(
                f"nothing heard yet in {listened_s:.1f} s; silence is known after {self._stale_after_s:g}"
            )
        try:
            self.report = self._decoded(now)
        except NotMeasured as error:
            return Unread(error.reason)
        return self.report

    def _decoded(self, now: float) -> Report | None:
        """None is an empty bay. Raises ``NotMeasured``."""
        oldest = min([cell.at + limit_s for cell, limit_s in self._limits])
        self._good_until = min(oldest, (self.heard_at or 0.0) + self._stale_after_s)
        frames = {slot: cell.data for slot, cell in self._cells.items()}
        if self._layout.presence is not None:
            if now > oldest:
                self._require_fresh(self._layout.slots[:1], now)
            if not is_present(self._layout, frames):
                return None
        if now > oldest:
            self._require_fresh(self._layout.slots, now)
        return decode(self._layout, frames)

    def _is_silent(self, now: float) -> bool:
        return self.heard_at is None or now - self.heard_at > self._stale_after_s

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
