"""Emulated nuclei, and components that run under them, as several tests need them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from evswap_edge.clock import SystemTime
from evswap_edge.emulators.greengrass.configuration import Configuration
from evswap_edge.emulators.greengrass.nucleus import EmulatedNucleus
from evswap_edge.greengrass import run_component
from evswap_schema import decode_reading
from tests.edge.conftest import Eventually

MQTT_PROXY = "aws.greengrass.ipc.mqttproxy"
PUBSUB = "aws.greengrass.ipc.pubsub"

EVERYTHING_ALLOWED: dict[str, Any] = {
    "accessControl": {
        service: {"all": {"operations": ["*"], "resources": ["*"]}} for service in (MQTT_PROXY, PUBSUB)
    }
}

STATION: dict[str, Any] = {
    "driver": {"name": "simulated", "bays": 8},
    "sampling": {"interval_s": 0.05},
    "reporting": {"mode": "every-sample", "batch_age_s": 1},
    "publishing": {"retry_max_s": 1, "backlog_per_s": 0, "backlog_jitter_s": 0},
}


class Component:
    """A running component, and the nucleus that it runs under."""

    def __init__(
        self,
        nucleus: EmulatedNucleus,
        events: list[Mapping[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
        eventually: Eventually,
    ) -> None:
        self.nucleus = nucleus
        self.events = events
        self.outbox = Path("outbox.sqlite").absolute()
        self.stop = asyncio.Event()
        self.levels: list[str] = []
        self.successors: list[Component] = []
        self._monkeypatch = monkeypatch
        self._eventually = eventually
        for name, value in nucleus.environment().items():
            monkeypatch.setenv(name, value)
        self.task = asyncio.create_task(run_component(SystemTime(), self.stop, log_from=self.levels.append))

    def started_again(self) -> "Component":
        """As systemd does, with the SVCUID that the nucleus gives now."""
        again = Component(self.nucleus, self.events, self._monkeypatch, self._eventually)
        self.successors.append(again)
        again.successors = self.successors
        return again

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for ``condition``; fail with what the component ended with."""
        await self._eventually(lambda: condition() or self.task.done())
        if self.task.done():
            self.task.result()

    @property
    def states(self) -> list[Any]:
        return [event["state"] for event in self.events if "state" in event]

    @property
    def sequences(self) -> list[int]:
        """Of what was sent sample by sample."""
        sent = [message for message in self.nucleus.published if message.topic.endswith("/telemetry")]
        return [decode_reading(message.payload).sequence or 0 for message in sent]

    @property
    def batched(self) -> int:
        return sum(message.topic.endswith("/batch") for message in self.nucleus.published)

    def configure(self, station: Mapping[str, Any]) -> None:
        self.nucleus.configure({"station": station})


@asynccontextmanager
async def component(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
    station: Any = STATION,
    *,
    thing: str = "station-01",
) -> AsyncIterator[Component]:
    """Started in ``folder``, its work folder; ended, if it has not by itself, with the test."""
    monkeypatch.chdir(folder)
    events: list[Mapping[str, Any]] = []
    defaults = EVERYTHING_ALLOWED | ({} if station is None else {"station": station})
    nucleus = EmulatedNucleus(
        folder / "ipc.socket",
        component="com.evswap.Station",
        thing_name=thing,
        configuration=Configuration(defaults),
        tell=events.append,
    )
    nucleus.acknowledging = True
    await nucleus.start()
    running = Component(nucleus, events, monkeypatch, eventually)
    try:
        yield running
    finally:
        for one in (running, *running.successors):
            one.stop.set()
            await asyncio.gather(one.task, return_exceptions=True)
        await nucleus.aclose()
