"""Carry out commands: each once at most, in time or not at all, and say what became of it.

    received ─► judged ─► written down ─► done ─► seen ─► written down ─► told

A process that ends anywhere on that way does nothing again: what was written down and not finished is judged
by what the station shows when it begins anew. Where that shows nothing, the result is ``unknown``.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from evswap_edge.clock import TimeSource
from evswap_edge.episode import Episode
from evswap_edge.hal import DriverError
from evswap_edge.remote.deeds import Deed, Evidence, Means, NotDone, Over, deed_of
from evswap_edge.remote.journal import Entry, Journal, JournalCrowded, JournalError
from evswap_schema import (
    Clock,
    Command,
    CommandResult,
    InvalidMessage,
    Outcome,
    RequestSwap,
    Unlock,
    decode_command,
)
from evswap_schema.limits import FUTURE_TOLERANCE

Verdict = tuple[Outcome, str | None]

_OPENING: Final = (Unlock, RequestSwap)
"""What opens doors: whoever it is for has to be there."""
_LOOK_EVERY_S: Final = 0.25
_WRITE_AGAIN_S: Final = 2.0
_ENDED: Final = "the station ended while it was under way"
_LONGEST_REASON: Final = 200
"""Of the contract."""

_log: Final = logging.getLogger(__name__)


class _Stage(Enum):
    """Of a command that has no result yet."""

    JUDGED = auto()
    """It may still be refused."""
    ACCEPTED = auto()


class Executor:
    """Carries out the commands of one station. ``tell`` is called with every result that is to go up."""

    def __init__(
        self,
        *,
        station_id: str,
        journal: Journal,
        means: Means,
        feedback_timeout_s: float,
        tell: Callable[[CommandResult], None],
        ending: asyncio.Event,
    ) -> None:
        """``feedback_timeout_s`` is how long a bay may take to show what was ordered. Once ``ending`` is
        set nothing is waited for: whoever comes next finds what was under way."""
        self._station_id = station_id
        self._journal = journal
        self._means = means
        self._time: TimeSource = means.time
        self._feedback_timeout_s = feedback_timeout_s
        self._tell = tell
        self._ending = ending
        self._under_way: dict[str, _Stage] = {}
        self._places: defaultdict[Hashable, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._writing = Episode(_log, "journal of commands", monotonic=self._time.monotonic)

    async def leftovers(self) -> list[Command]:
        """The commands that were under way when the process before this one ended. To be asked for before
        anything is received. Raises ``JournalError``."""
        unfinished = await asyncio.to_thread(self._journal.unfinished)
        self._under_way |= {command.command_id: _Stage.ACCEPTED for command in unfinished}
        return unfinished

    async def settle(self, command: Command) -> None:
        """Find out what became of one of the ``leftovers``, without doing any of it again."""
        deed = deed_of(command, self._means)
        try:
            async with self._in_turn(deed):
                verdict = await self._seen_of(deed, trouble=_ENDED, at_once=True)
            if verdict is not None:
                await self._finish(command.command_id, verdict, expires_at=command.expires_at)
        finally:
            del self._under_way[command.command_id]

    async def receive(self, command_id: str, payload: bytes) -> None:
        """Deal with a command as it came in on the topic of ``command_id``.

        What cannot be written down is not done and not answered: an answer that nobody remembers could be
        followed by another one. Whoever sent it sends it again or sees it expire.
        """
        if command_id in self._under_way:
            if self._under_way[command_id] is _Stage.ACCEPTED:
                self._tell(self._result(command_id, Outcome.ACCEPTED))
            return
        self._under_way[command_id] = _Stage.JUDGED
        try:
            await self._deal_with_in_a_crowd(command_id, payload)
        except JournalError as error:
            self._writing.begin(f"{error}; commands are neither done nor answered")
        else:
            self._writing.end()
        finally:
            del self._under_way[command_id]

    async def _deal_with_in_a_crowd(self, command_id: str, payload: bytes) -> None:
        """``_deal_with``; where the journal is full, once more without those that nobody needs: whoever sends
        one of them again hears that it has expired."""
        try:
            await self._deal_with(command_id, payload)
        except JournalCrowded:
            if self._time.state() is not Clock.SYNCHRONIZED:
                raise
            await asyncio.to_thread(self._journal.forget, self._time.now(), kept=timedelta(0))
            await self._deal_with(command_id, payload)

    async def _deal_with(self, command_id: str, payload: bytes) -> None:
        """Raises ``JournalError`` as long as nothing has moved."""
        known = await asyncio.to_thread(self._journal.find, command_id)
        if known is not None:
            return await self._repeat(known)
        try:
            command = self._read(command_id, payload)
        except NotDone as refusal:
            _log.warning("command refused: %s", refusal, extra={"command_id": command_id})
            verdict = (Outcome.REJECTED, refusal.reason)
            return await self._write_result(command_id, verdict, expires_at=self._time.now())
        return await self._carry_out(command)

    async def _repeat(self, known: Entry) -> None:
        """It was delivered again: so is its result, if there is one."""
        if known.result is None:
            self._tell(self._result(known.command_id, Outcome.ACCEPTED))
            return
        await asyncio.to_thread(self._journal.mark, known.command_id, told=False)
        self._tell(known.result)

    def _read(self, command_id: str, payload: bytes) -> Command:
        """Raises ``NotDone`` for what is no command to this station by this id."""
        try:
            command = decode_command(payload)
        except InvalidMessage as error:
            raise NotDone(str(error)) from error
        if command.station_id != self._station_id:
            raise NotDone(f"it is for the station {command.station_id}")
        if command.command_id != command_id:
            raise NotDone(f"its command_id is {command.command_id}, and its topic says {command_id}")
        return command

    async def _carry_out(self, command: Command) -> None:
        deed = deed_of(command, self._means)
        async with self._in_turn(deed):
            verdict = await self._judged(command, deed)
            if verdict is not None:
                return await self._write_result(command.command_id, verdict, expires_at=command.expires_at)
            await asyncio.to_thread(self._journal.begin, command)
            self._under_way[command.command_id] = _Stage.ACCEPTED
            self._tell(self._result(command.command_id, Outcome.ACCEPTED))
            verdict = await self._done(deed)
        if verdict is not None:
            await self._finish(command.command_id, verdict, expires_at=command.expires_at)
        return None

    def _in_turn(self, deed: Deed) -> AbstractAsyncContextManager[object]:
        return nullcontext() if deed.place is None else self._places[deed.place]

    # --- may it be done? ----------------------------------------------------------------------------------

    async def _judged(self, command: Command, deed: Deed) -> Verdict | None:
        """Why ``command`` is not to be done, looked at before anything moves; None: it is."""
        if too_late := self._too_late(command):
            return too_late
        begun_at = await asyncio.to_thread(lambda: self._journal.begun_at)
        if begun_at is not None and command.issued_at <= begun_at:
            return Outcome.UNKNOWN, "the journal that would know whether it was done already was damaged"
        try:
            await deed.prepare()
        except NotDone as obstacle:
            return Outcome.REJECTED, obstacle.reason
        except DriverError as error:
            return Outcome.REJECTED, f"nothing was moved: {error}"
        return self._too_late(command)

    def _too_late(self, command: Command) -> Verdict | None:
        """Judged by the wall clock: the sender's is all that a station knows of the sender's time."""
        now = self._time.now()
        if now >= command.expires_at:
            return Outcome.EXPIRED, None
        if self._time.state() is not Clock.SYNCHRONIZED:
            if isinstance(command.action, _OPENING):
                return Outcome.REJECTED, "its age cannot be judged: the station's clock is not synchronized"
            return None
        if command.issued_at > now + FUTURE_TOLERANCE:
            return Outcome.REJECTED, "it was issued in the future: its clock and the station's do not agree"
        return None

    # --- was it done? -------------------------------------------------------------------------------------

    async def _done(self, deed: Deed) -> Verdict | None:
        """Give the order and look what comes of it; None when that is for whoever comes next to see."""
        try:
            await deed.begin()
        except NotDone as refusal:
            return Outcome.REJECTED, refusal.reason
        except DriverError as error:
            return await self._seen_of(deed, trouble=str(error))
        return await self._seen_of(deed, trouble=None)

    async def _seen_of(self, deed: Deed, *, trouble: str | None, at_once: bool = False) -> Verdict | None:
        """What the station shows within the time for that, or, ``at_once``, when it first shows anything.
        What is under way is waited for.

        ``trouble`` is why the order alone proves nothing. None: the station is about to end.
        """
        deadline = self._time.monotonic() + self._feedback_timeout_s
        while True:
            evidence: Evidence | Over | None = None
            try:
                evidence = await deed.evidence()
            except NotDone as refusal:
                return Outcome.REJECTED, refusal.reason
            except DriverError as error:
                trouble = trouble or str(error)
            if isinstance(evidence, Over):
                return Outcome.DONE, evidence.how
            if evidence is Evidence.SEEN or (evidence is Evidence.NOTHING_TO_SEE and trouble is None):
                return Outcome.DONE, None
            final = evidence is Evidence.NOTHING_TO_SEE or (at_once and evidence is not None)
            now = self._time.monotonic()
            again = now + _LOOK_EVERY_S
            if evidence is not Evidence.UNDER_WAY:
                if final or now >= deadline:
                    return Outcome.UNKNOWN, trouble or f"was not seen within {self._feedback_timeout_s:g} s"
                again = min(deadline, again)
            if self._ending.is_set():
                return None
            await self._time.wait_until(again, unless=self._ending)

    # --- say so -------------------------------------------------------------------------------------------

    async def _finish(self, command_id: str, verdict: Verdict, *, expires_at: datetime) -> None:
        """Write the result down, however long the disk takes to let that happen: it is told only then, or a
        crash would make it two."""
        while True:
            try:
                await self._write_result(command_id, verdict, expires_at=expires_at)
            except JournalError as error:
                self._writing.begin(error)
            else:
                self._writing.end()
                return
            if self._ending.is_set():
                return
            await self._time.wait_until(self._time.monotonic() + _WRITE_AGAIN_S, unless=self._ending)

    async def _write_result(self, command_id: str, verdict: Verdict, *, expires_at: datetime) -> None:
        result = self._result(command_id, *verdict)
        stands = await asyncio.to_thread(self._journal.finish, result, expires_at=expires_at)
        told = {"command_id": command_id, "outcome": stands.outcome, "reason": stands.reason}
        _log.info("command %s", stands.outcome, extra=told)
        self._tell(stands)

    def _result(self, command_id: str, outcome: Outcome, reason: str | None = None) -> CommandResult:
        return CommandResult(
            command_id=command_id,
            station_id=self._station_id,
            outcome=outcome,
            timestamp=_milliseconds(self._time.now()),
            reason=reason[:_LONGEST_REASON] if reason else None,
        )


def _milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
