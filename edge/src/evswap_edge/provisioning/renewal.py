"""A running station has its certificate replaced in time, and goes on whatever comes of it.

It looks once a day, when there is a link, and believes its clock only when something has set it. The work is
done by a process of its own (``evswap_edge.provisioning.renew``), which needs the station's name at the
broker for some seconds: the link is released meanwhile, sampling goes on, and what is sampled waits in the
outbox.
"""

import asyncio
import logging
import random
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final, Protocol, runtime_checkable

import msgspec

from evswap_edge.backoff import Backoff
from evswap_edge.certificates import Validity
from evswap_edge.clock import TimeSource
from evswap_edge.episode import Episode
from evswap_edge.provisioning.attempt import Done, Outcome, Renewal, renewal_of
from evswap_edge.provisioning.terms import Provisioning, endangered_from, renewal_due_at
from evswap_edge.stopping import unless
from evswap_edge.transports import CredentialsError
from evswap_edge.transports.broker import BrokerSettings
from evswap_edge.transports.credentials import certificate_validity
from evswap_schema import Clock, format_timestamp

Worker = Callable[[Renewal], Awaitable[Outcome]]
"""What makes one attempt."""

Alarm = Callable[[bool, str], None]
"""Raised or not, and when the certificate ends."""

LOOK_EVERY_S: Final = 86_400.0
FIRST_LOOK_WITHIN_S: Final = 600.0
"""After the link is there; at random, as a fleet comes back all at once."""
RETRY_MIN_S: Final = 3_600.0
DEADLINE_S: Final = 120.0
"""For an attempt: as long is the station without a link at most."""
_LINK_WITHIN_S: Final = 60.0
"""A station that has a link at all mostly has it at once."""

_WORK: Final = "evswap_edge.provisioning.renew"

_log: Final = logging.getLogger(__name__)


@runtime_checkable
class Renewable(Protocol):
    """A transport whose far side certifies stations, and whose link can be given up for a moment."""

    async def connect(self) -> None:
        """Return when there is a link."""
        ...

    def released(self) -> AbstractAsyncContextManager[None]:
        """No connection meanwhile; the next one reads certificate and key anew."""
        ...


class Renewals:
    """Looks after the certificate of one station."""

    def __init__(
        self,
        *,
        station_id: str,
        settings: BrokerSettings,
        transport: object,
        terms: Provisioning,
        time: TimeSource,
        alarm: Alarm = lambda active, why: None,  # noqa: ARG005
        worker: Worker | None = None,
    ) -> None:
        """A ``transport`` that is not ``Renewable`` is not renewed for; the end of the certificate is looked
        at all the same. ``alarm`` is told at each look whether it nears its end."""
        self._task = renewal_of(station_id, settings, terms)
        self._transport = transport if terms.renew and isinstance(transport, Renewable) else None
        self._terms = terms
        self._time = time
        self._alarm = alarm
        self._worker = worker or in_a_process
        self._ending = Episode(_log, "certificate", monotonic=time.monotonic)
        self._trouble = Episode(_log, "renewal of the certificate", monotonic=time.monotonic)
        self._backoff = Backoff(base_s=RETRY_MIN_S, cap_s=LOOK_EVERY_S)

    async def run(self, stop: asyncio.Event) -> None:
        """Look once a day until ``stop`` is set. Raises nothing."""
        wait_s = random.uniform(0, FIRST_LOOK_WITHIN_S)  # noqa: S311 - jitter, not a secret
        while not stop.is_set():
            await self._time.wait_until(self._time.monotonic() + wait_s, unless=stop)
            wait_s = await unless(stop, self._look()) or 0.0

    async def _look(self) -> float:
        """Do what is to be done; the seconds until it is to be looked at again."""
        try:
            due = self._is_due()
        except CredentialsError as error:
            self._trouble.begin(error)
            return LOOK_EVERY_S
        if due and self._transport is not None:
            return await self._renew(self._transport)
        return LOOK_EVERY_S

    def _is_due(self) -> bool:
        """Raises ``CredentialsError``."""
        pair = self._task.pair
        if pair.has_successor or pair.is_replacement_to_be_told:
            return True
        if self._time.state() is not Clock.SYNCHRONIZED:
            return False
        times, now = certificate_validity(pair.certificate_file), self._time.now()
        self._warn(times, endangered=now >= endangered_from(times, self._terms))
        return now >= renewal_due_at(times, self._terms, name=self._task.station_id)

    def _warn(self, times: Validity, *, endangered: bool) -> None:
        when = f"ends at {format_timestamp(times.ends)}"
        if endangered:
            self._ending.begin(f"{when}, and was not replaced: obtain another before that")
        else:
            self._ending.end()
        self._alarm(endangered, when)

    async def _renew(self, transport: Renewable) -> float:
        if self._task.pair.has_successor:
            await self._see_whether_linked(transport)
        else:
            await transport.connect()
        async with transport.released():
            try:
                outcome = await self._worker(self._task)
            finally:  # it may have been killed between two files
                with suppress(OSError):
                    self._task.pair.finish_replacement()
        if outcome.done is Done.FAILED:
            self._trouble.begin(outcome.reason)
            return RETRY_MIN_S + self._backoff.next_s()
        self._trouble.end()
        self._backoff.reset()
        _log.info("certificate %s", outcome.done.value, extra={"outcome": outcome.done.value})
        return 0.0 if outcome.done is Done.TOLD else LOOK_EVERY_S

    async def _see_whether_linked(self, transport: Renewable) -> None:
        """A successor waits for no link: what it succeeds may have ended, and will never have one again."""
        linked = asyncio.Event()
        connecting = asyncio.ensure_future(transport.connect())
        connecting.add_done_callback(lambda _: linked.set())
        try:
            await self._time.wait_until(self._time.monotonic() + _LINK_WITHIN_S, unless=linked)
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)


async def in_a_process(renewal: Renewal) -> Outcome:
    """One attempt by a process that ends with it, as its libraries take more memory than a station has to
    spare. It may be killed at any point."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", _WORK, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
    except OSError as error:
        return _failed(f"no process could be started for it: {error.strerror}")
    try:
        async with asyncio.timeout(DEADLINE_S):
            said, complaint = await process.communicate(renewal.encode())
    except TimeoutError:
        return _failed(f"no result within {DEADLINE_S:g} s")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _outcome(said, complaint)


def _outcome(said: bytes, complaint: bytes) -> Outcome:
    try:
        return msgspec.json.decode(said, type=Outcome)
    except msgspec.DecodeError:
        last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        return _failed(f"its process ended without a result: {last}")


def _failed(reason: str) -> Outcome:
    return Outcome(done=Done.FAILED, reason=reason)
