"""What is on a bus, told by listening."""

import asyncio

import can
import pytest

from evswap_edge.documents import NameOrFile
from evswap_edge.drivers.can.bus import Interface
from evswap_edge.drivers.can.probing import Match, ScanSettings, scan
from evswap_edge.hal import DriverUnavailable, SensorError
from tests.edge.can_bus import VIRTUAL, Bus, spoken_on, wired
from tests.edge.can_profiles import theirs

__all__ = ["theirs"]


def settings(spoken: Bus, profile: NameOrFile | None = None, seconds: float = 0.2) -> ScanSettings:
    return ScanSettings(
        channel=spoken.channel, interface=Interface(spoken.interface), profile=profile, seconds=seconds
    )


async def test_what_is_known_is_told_by_message_and_node() -> None:
    async with spoken_on(VIRTUAL, bays=2) as spoken:
        spoken.obey("fault 2 wrong-length")
        found = await scan(settings(spoken))
    assert [each.identifier for each in found] == [
        f"{identifier:#05x}" for identifier in (0x100, 0x101, 0x102, 0x103, 0x108, 0x109, 0x10A, 0x10B)
    ]
    assert found[1].matches == (Match("evswap-bms", "BmsPack", 0, length_fits=True),)
    assert found[4].matches == (Match("evswap-bms", "BmsState", 1, length_fits=False),)
    assert str(found[4]).endswith("BmsState of evswap-bms, node 1, of another length")
    assert found[0].count >= 2
    assert found[0].per_s == found[0].count / 0.2
    assert len(found[3].data) == 8


async def test_what_nobody_knows_is_told_as_it_is(theirs: NameOrFile) -> None:
    async with spoken_on(VIRTUAL, profile=theirs, bays=1) as spoken:
        spoken.obey("set 1 serial 5")
        spoken.wire.send(can.Message(arbitration_id=0x18FF4000, data=b"\x01\x02"))
        unknown = await scan(settings(spoken))
        assert all(not each.matches for each in unknown if len(each.identifier) == len("0x18ff0000"))
        assert {"0x700", "0x18ff0000", "0x18ff0100"} <= {each.identifier for each in unknown}
        assert str(unknown[-1]).endswith("unknown")
        found = await scan(settings(spoken, theirs))
    matched = {each.identifier: each.matches[0].message for each in found if len(each.identifier) > 5}
    assert matched == {"0x18ff0000": "Status", "0x18ff0100": "Values", "0x18ff0200": "Cells"}


async def test_a_silent_bus_has_nothing_to_tell() -> None:
    with wired() as spoken:
        assert await scan(settings(spoken, seconds=0.05)) == []


async def test_a_bus_that_cannot_be_listened_to_says_why() -> None:
    with pytest.raises(DriverUnavailable, match="no such interface"):
        await scan(ScanSettings(channel="can-none"))


async def test_a_controller_that_is_off_is_no_silence() -> None:
    with wired() as spoken:
        scanning = asyncio.create_task(scan(settings(spoken, seconds=0.1)))
        await asyncio.sleep(0)
        spoken.obey("bus off")
        with pytest.raises(SensorError, match="bus-off"):
            await scanning
