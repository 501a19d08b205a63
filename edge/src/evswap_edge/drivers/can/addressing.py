"""Which frame belongs to which bay: bays are told apart by how far their identifiers are from the first's."""

from collections.abc import Mapping, Sequence

from evswap_edge.drivers.can.bus import Key, identifier_of, key_of
from evswap_edge.drivers.can.layout import LAST_EXTENDED, LAST_STANDARD, FrameKind, Layout

Place = tuple[int, FrameKind]
"""A bay, and what it says there."""


class BadAddress(Exception):
    """The bays cannot be told apart so. ``setting`` is the key at fault."""

    def __init__(self, setting: str, problem: str) -> None:
        self.setting = setting
        self.problem = problem
        super().__init__(problem)


def places(
    layout: Layout,
    *,
    bays: Sequence[int],
    base: int | None = None,
    stride: int | None = None,
    nodes: Sequence[int] | None = None,
) -> Mapping[Key, Place]:
    """Who says what, by the key of the frame.

    The lowest identifier of the profile becomes ``base`` (with which a number above 0x7FF makes them all
    29-bit ones), and each further node is ``stride`` higher. ``nodes`` are the nodes of the bays, counted
    from 0. Raises ``BadAddress``.
    """
    nodes = range(len(bays)) if nodes is None else nodes
    if len(nodes) != len(bays):
        raise BadAddress("nodes", f"names {len(nodes)} nodes for {len(bays)} bays")
    lowest = min(kind.message.frame_id for kind in layout.kinds.values())
    shift = 0 if base is None else base - lowest
    step = layout.profile.stride if stride is None else stride
    found: dict[Key, Place] = {}
    for bay, node in zip(bays, nodes, strict=True):
        for kind in layout.kinds.values():
            extended = kind.message.is_extended_frame or (base is not None and base > LAST_STANDARD)
            key = _key(kind.message.frame_id + shift + node * step, extended=extended, bay=bay)
            if key in found:
                other, its = found[key]
                raise BadAddress(
                    "stride" if nodes == range(len(bays)) else "nodes",
                    f"{identifier_of(key)} would be {kind.name} of bay {bay} and {its.name} of bay {other}",
                )
            found[key] = (bay, kind)
    return found


def heartbeat_key(layout: Layout) -> Key | None:
    """The key of the profile's heartbeat, which no bay's identifiers move."""
    if layout.heartbeat is None:
        return None
    return key_of(layout.heartbeat.frame_id, extended=layout.heartbeat.is_extended_frame)


def _key(identifier: int, *, extended: bool, bay: int) -> Key:
    last = LAST_EXTENDED if extended else LAST_STANDARD
    if not 0 <= identifier <= last:
        raise BadAddress(
            "base", f"bay {bay} would be at {identifier:#x}, beyond the last identifier, {last:#x}"
        )
    return key_of(identifier, extended=extended)
