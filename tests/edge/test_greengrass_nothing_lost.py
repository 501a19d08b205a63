"""Under a nucleus that says success and loses, nothing is lost in the end, and little is sent twice.

A whole station under the emulated nucleus, over AWS's client and the real wire. The cloud behind the nucleus
confirms what it has; what it has not confirmed stays on disk.
"""

import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.emulators.greengrass.nucleus import EmulatedNucleus
from evswap_edge.emulators.greengrass.uplink import Broker
from evswap_edge.transports import RestartRequired
from tests.edge.conftest import Eventually
from tests.edge.nuclei import STATION, Component, component
from tests.edge.publishing import waiting_in


def confirmed_within(timeout_s: float, *, drain_s: float = 10.0) -> dict[str, Any]:
    publishing = STATION["publishing"] | {
        "confirmation_timeout_s": timeout_s,
        "drain_s": drain_s,
    }
    return STATION | {"publishing": publishing}


async def lost(running: Component, count: int) -> None:
    """Until the nucleus has lost ``count`` messages more."""
    before = running.nucleus.status()["lost"]
    await running.until(lambda: running.nucleus.status()["lost"] >= before + count)


async def more(running: Component, count: int) -> None:
    """Until ``count`` samples that are new have come."""
    newest = max(running.sequences or [0])
    await running.until(lambda: max(running.sequences or [0]) >= newest + count)


async def stopped(running: Component) -> None:
    running.stop.set()
    await running.task


def without_gap(sequences: list[int]) -> bool:
    return set(sequences) == set(range(1, max(sequences) + 1))


async def test_what_the_nucleus_lost_with_success_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    async with component(tmp_path, monkeypatch, eventually, confirmed_within(2)) as running:
        for _ in range(2):
            await more(running, 3)
            running.nucleus.set_broker(Broker.LOSING)
            await lost(running, 15)
            running.nucleus.set_broker(Broker.UP)
        await running.until(lambda: without_gap(running.sequences) and len(running.sequences) > 36)
        await more(running, 3)
        await stopped(running)
        assert without_gap(running.sequences)
        # Twice came what had arrived and whose confirmation was lost with the link: of a tenth of a second.
        assert len(running.sequences) - len(set(running.sequences)) <= 20
    assert await waiting_in(tmp_path / "outbox.sqlite") == 0


async def test_a_link_that_dies_unnoticed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    """Ten messages are taken, the rest refused; the ten are gone when the nucleus notices."""
    async with component(tmp_path, monkeypatch, eventually, confirmed_within(2)) as running:
        await more(running, 3)
        running.nucleus.set_broker(Broker.SILENT)
        await running.until(lambda: running.nucleus.operations.refused["ServiceError"])
        running.nucleus.set_broker(Broker.DOWN)
        assert running.nucleus.status()["lost"] == 10
        running.nucleus.set_broker(Broker.UP, after_s=0.3)
        await more(running, 20)
        await running.until(lambda: without_gap(running.sequences))
        await stopped(running)
    assert await waiting_in(tmp_path / "outbox.sqlite") == 0


async def test_what_the_cloud_does_not_confirm_stays_and_goes_again_with_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    async with component(tmp_path, monkeypatch, eventually, confirmed_within(300, drain_s=0.5)) as first:
        first.nucleus.acknowledging = False
        await more(first, 5)
        await stopped(first)
        unconfirmed = len(first.sequences)
        assert await waiting_in(tmp_path / "outbox.sqlite") == unconfirmed == len(set(first.sequences))
        first.nucleus.acknowledging = True
        again = first.started_again()
        await again.until(lambda: Counter(again.sequences)[unconfirmed] == 2)
        await stopped(again)
        assert without_gap(again.sequences)
        twice = Counter(again.sequences)
        assert {sequence for sequence, times in twice.items() if times == 2} == set(range(1, unconfirmed + 1))
        assert max(twice.values()) == 2
    assert await waiting_in(tmp_path / "outbox.sqlite") == 0


async def test_a_subscription_that_the_nucleus_forgot_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="evswap_edge")
    async with component(tmp_path, monkeypatch, eventually, confirmed_within(1)) as running:
        await more(running, 3)
        running.nucleus.forget_subscriptions()
        await running.until(lambda: "acknowledgements: none for 1 s" in caplog.text)
        await running.until(lambda: "acknowledgements: works again" in caplog.text)
        await stopped(running)
        assert without_gap(running.sequences)
    assert await waiting_in(tmp_path / "outbox.sqlite") == 0


async def test_a_nucleus_that_is_restarted_while_much_is_unconfirmed_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    async with component(tmp_path, monkeypatch, eventually, confirmed_within(300)) as running:
        last = running
        for _ in range(2):
            last.nucleus.set_broker(Broker.LOSING)
            await lost(last, 5)
            last.nucleus.restart()
            with pytest.raises(RestartRequired):
                await last.task
            last = last.started_again()
        last.nucleus.set_broker(Broker.UP)
        await more(last, 5)
        await last.until(lambda: without_gap(last.sequences))
        await stopped(last)
    assert await waiting_in(tmp_path / "outbox.sqlite") == 0


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_to_the_nucleus_and_in_which_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Eventually, seed: int
) -> None:
    """Every sample arrives, and the outbox is empty in the end."""
    chance = random.Random(seed)
    async with component(tmp_path, monkeypatch, eventually, confirmed_within(1)) as running:
        await more(running, 1)
        last = running
        for _ in range(12):
            last = await troubled(last, chance.choice(TROUBLES))
            await passed(last, chance.randint(1, 4))
        last.nucleus.acknowledging = True
        last.nucleus.release_answers()
        last.nucleus.set_broker(Broker.UP)
        reached = await passed(last, 1)
        await last.until(lambda: set(range(1, reached + 1)) <= set(last.sequences))
        with ledger(last) as number:
            await last.until(lambda: number("samples + parcel_samples") <= 3)
        await stopped(last)
        assert without_gap(last.sequences)
    assert await waiting_in(tmp_path / "outbox.sqlite") == 0


TROUBLES: list[Callable[[EmulatedNucleus], None]] = [
    *(partial(EmulatedNucleus.set_broker, broker=broker) for broker in Broker),
    EmulatedNucleus.forget_subscriptions,
    EmulatedNucleus.end_subscriptions,
    EmulatedNucleus.hold_answers,
    EmulatedNucleus.release_answers,
    EmulatedNucleus.restart,
    lambda nucleus: setattr(nucleus, "acknowledging", not nucleus.acknowledging),
]


async def troubled(running: Component, trouble: Callable[[EmulatedNucleus], None]) -> Component:
    """The component that runs after ``trouble``: another one, when the nucleus was restarted."""
    trouble(running.nucleus)
    if trouble is not EmulatedNucleus.restart:
        return running
    running.nucleus.release_answers()
    with pytest.raises(RestartRequired):
        await running.task
    return running.started_again()


async def passed(running: Component, samples: int) -> int:
    """Until ``samples`` more are on disk; the newest one's number."""
    with ledger(running) as number:
        goal = number("sample_sequence") + samples
        await running.until(lambda: number("sample_sequence") >= goal)
        return number("sample_sequence")


@contextmanager
def ledger(running: Component) -> Iterator[Callable[[str], int]]:
    """What the outbox counts, while the component works on it."""
    with closing(sqlite3.connect(f"file:{running.outbox}?mode=ro", uri=True)) as outbox:

        def number(column: str) -> int:
            (value,) = outbox.execute(f"SELECT {column} FROM ledger").fetchone()  # noqa: S608 - ours
            return int(value)

        yield number
