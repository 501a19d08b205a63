"""The station's program dies."""

import pytest

from evswap_hil.bench.facade import Bench, now
from evswap_hil.bench.measuring import Measured


@pytest.mark.requirement("REQ-CRASH-1")
def test_kill_9(online: Bench, measured: Measured) -> None:
    began, first = now(), int(online.state()["sequence"]) + 1
    online.kill()
    seconds = online.go("online")
    last = int(online.state()["sequence"])
    account = online.account(began, first=first, last=last)
    measured(
        {
            "time to online": seconds,
            "streams": len(account.streams),
            "lost": account.lost(first, last),
            "archived twice": account.twice,
        }
    )
