"""The way to the cloud breaks, aloud and silently."""

import time

import pytest

from evswap_hil.bench.facade import Bench, now
from evswap_hil.bench.measuring import Measured
from evswap_hil.requirements import OUTAGE_S


@pytest.mark.requirement("REQ-LINK-1")
def test_a_cut_costs_no_sample(online: Bench, measured: Measured) -> None:
    began, first = now(), int(online.state()["sequence"]) + 1
    online.link.cut()
    time.sleep(OUTAGE_S)  # the stimulus itself: an outage is as long as it is
    online.link.restore()
    restored = now()
    back = online.look_for_news(restored, allowed=allowed(measured))
    last = int(back.state["sequence"])
    account = online.account(began, first=first, last=last)
    meanwhile = [each for each in account.readings if began <= each.timestamp <= restored]
    measured(
        {
            "sampled meanwhile": len(meanwhile),
            "time to online": back.seconds,
            "lost": account.lost(first, last),
            "archived twice": account.twice,
        }
    )


@pytest.mark.requirement("REQ-LINK-2")
def test_a_dead_connection_is_noticed(online: Bench, measured: Measured) -> None:
    began, first = now(), int(online.state()["sequence"]) + 1
    online.link.swallow()
    online.link.restore()  # for new connections: the one that there is stays dead
    back = online.look_for_news(now(), allowed=allowed(measured))
    last = int(back.state["sequence"])
    account = online.account(began, first=first, last=last)
    measured(
        {
            "time to online": back.seconds,
            "lost": account.lost(first, last),
            "archived twice": account.twice,
        }
    )


def allowed(measured: Measured) -> float:
    return measured.required.limit("time to online").at_most or 0.0
