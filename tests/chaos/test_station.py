"""The station on strings, where the suite relies on it."""

from tests.chaos.station import StringedTime

BOOT = "0102ca37-f5e3-4abf-96f9-73409873ee0c"
ANOTHER = "ff02ca37-f5e3-4abf-96f9-73409873ee0c"


def test_a_process_counts_on_where_those_before_it_in_the_same_boot_were() -> None:
    earlier = StringedTime(BOOT, speed=1_000.0)
    moments = [earlier.monotonic() for _ in range(1_000)]
    later = StringedTime(BOOT, speed=1_000.0)
    moments += [later.monotonic(), earlier.monotonic()]
    assert moments == sorted(moments)
    assert StringedTime(ANOTHER, speed=1.0).monotonic() != StringedTime(BOOT, speed=1.0).monotonic()
