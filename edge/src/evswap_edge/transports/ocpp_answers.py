"""What a station answers to its CSMS. What moves something becomes a command, which the station's desk hears
as from any transport; the command's result becomes the answer."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from datetime import timedelta
from typing import Any, Final, Protocol
from uuid import uuid4

from evswap_edge.ocpp21 import station, swaps, variables
from evswap_edge.ocpp21.checking import InvalidPayload, UnknownAction, checked_request
from evswap_edge.ocpp21.facts import Facts, Outlook
from evswap_edge.ocpp21.frames import Call, CallError, CallResult, Document
from evswap_edge.ocpp21.naming import Hashed, message_id_of
from evswap_edge.ocpp21.variables import Wanted
from evswap_edge.transports import Caller
from evswap_edge.transports.ocpp_link import Answer
from evswap_edge.transports.subscriptions import Subscriptions, matches
from evswap_schema import (
    Action,
    Channel,
    Command,
    CommandResult,
    Outcome,
    SetConfiguration,
    broker_topic,
    encode_command,
)

ACCEPTED: Final = "Accepted"
REJECTED: Final = "Rejected"

_SAYS: Final = {"BootNotification", "Heartbeat", "StatusNotification"}
"""What TriggerMessage may ask for."""
_SWAPS: Final = "swaps"
"""The section of the configuration that ``BatterySwapCtrlr`` is."""

Then = Callable[[], Awaitable[None]]
_Handler = Callable[[Call], Awaitable["Document | tuple[Document, Then]"]]


class Registrar:
    """How far the station is with its CSMS: what that has answered to the BootNotification."""

    def __init__(self) -> None:
        self.status: str | None = None
        self.heartbeat_s = 300.0
        self.changed = asyncio.Event()
        """The heartbeat's interval is another one."""
        self.boot_now = asyncio.Event()
        """The CSMS wants to hear a BootNotification now."""

    @property
    def accepted(self) -> bool:
        return self.status == ACCEPTED


class Teller(Protocol):
    """Says something to the CSMS. Each may raise what ``OcppLink.call`` does."""

    async def say_heartbeat(self) -> None:
        """That the station is there."""
        ...

    async def say_state(self) -> None:
        """What the CSMS has not heard of the station's state."""
        ...

    async def say(self, action: str, payload: Document) -> None:
        """Any request."""
        ...


class Answers:
    """Answers the requests of one CSMS to one station."""

    def __init__(
        self,
        caller: Caller,
        *,
        registrar: Registrar,
        outlook: Outlook,
        subscriptions: Subscriptions,
        teller: Teller,
        timeout_s: float,
    ) -> None:
        self.hashed: Hashed | None = None
        """Makes a token that the CSMS says in clear into its keyed hash."""
        self._station_id = caller.station_id
        self._time = caller.time
        self._rules: dict[str, Any] = dict(caller.swap_rules)
        self._registrar = registrar
        self._outlook = outlook
        self._subscriptions = subscriptions
        self._teller = teller
        self._timeout_s = timeout_s
        self._context = copy_context()
        self._session = uuid4().hex
        self._waiting: dict[str, tuple[asyncio.Future[CommandResult], bool]] = {}
        self._handlers: dict[str, _Handler] = {
            swaps.REQUEST_BATTERY_SWAP: self._swap,
            station.RESERVE_NOW: self._reserve,
            station.CANCEL_RESERVATION: self._cancel,
            station.UNLOCK_CONNECTOR: self._unlock,
            station.TRIGGER_MESSAGE: self._trigger,
            station.RESET: self._reset,
            variables.GET_VARIABLES: self._get,
            variables.SET_VARIABLES: self._set,
            variables.GET_BASE_REPORT: self._report,
        }

    def begin(self) -> None:
        """There is a new link. Message ids are unique within one link only: the commands that they name
        are of this one."""
        self._session = uuid4().hex

    def result(self, result: CommandResult) -> None:
        """What became of a command. One that nobody waits for any more was answered without it."""
        answer, final = self._waiting.get(result.command_id, (None, False))
        if answer is None or answer.done() or (final and result.outcome is Outcome.ACCEPTED):
            return
        answer.set_result(result)

    async def answer(self, call: Call) -> Answer:
        """To any request."""
        try:
            checked_request(call.action, call.payload)
            return await self._answer(call)
        except UnknownAction as error:
            return Answer(CallError(call.message_id, "NotImplemented", str(error)))
        except InvalidPayload as error:
            details = {"field": error.field, "rule": error.rule, "value": error.value}
            return Answer(CallError(call.message_id, error.code, str(error), details))

    async def _answer(self, call: Call) -> Answer:
        handler = self._handlers.get(call.action)
        if handler is None:
            problem = f"this station does nothing about {call.action}"
            return Answer(CallError(call.message_id, "NotSupported", problem))
        if self._registrar.status == REJECTED:
            return Answer(CallError(call.message_id, "SecurityError", "this CSMS has rejected the station"))
        match await handler(call):
            case (payload, then):
                return Answer(CallResult(call.message_id, payload), then)
            case payload:
                return Answer(CallResult(call.message_id, payload))

    # --- what becomes a command ---------------------------------------------------------------------------

    async def _swap(self, call: Call) -> Document:
        wanted = swaps.requested_swap(call.payload, hashed=self.hashed)
        return swaps.swap_answer(await self._result_of(call, wanted, final=False))

    async def _reserve(self, call: Call) -> Document:
        wanted = station.wanted_reservation(call.payload, self._outlook.bays, hashed=self.hashed)
        return station.reservation_answer(await self._result_of(call, wanted) if wanted else None)

    async def _unlock(self, call: Call) -> Document:
        wanted = station.wanted_unlock(call.payload)
        known = {bay.bay for bay in self._outlook.bays}
        if wanted is None or (known and wanted.bay not in known):
            return station.unlock_answer(None)
        return station.unlock_answer(await self._result_of(call, wanted))

    async def _set(self, call: Call) -> Document:
        """All that is configuration goes in one command: it is done, or none of it."""
        wanted = variables.wanted_changes(call.payload, self._facts())
        refused = await self._refusal_of_changes(call, wanted)
        for each in wanted:
            if each.status is None and each.key is None:
                self._registrar.heartbeat_s = float(each.value)
                self._registrar.changed.set()
        return variables.changes_answer(wanted, refused)

    async def _refusal_of_changes(self, call: Call, wanted: list[Wanted]) -> Document | None:
        """Why they are not made. That they are accepted is told before they are put in force, which may begin
        the station anew."""
        changes = {each.key: each.value for each in wanted if each.status is None and each.key is not None}
        if not changes:
            return None
        action = SetConfiguration(configuration={_SWAPS: changes})
        result = await self._result_of(call, action, final=False)
        done = result.outcome in {Outcome.ACCEPTED, Outcome.DONE}
        return None if done else swaps.info_of(result)

    async def _result_of(self, call: Call, action: Action, *, final: bool = True) -> CommandResult:
        """The result of a command, or, unless it has to be ``final``, that it is under way."""
        command = self._command(call, action)
        topic = broker_topic(Channel.COMMAND, self._station_id, command.command_id)
        if problem := self._obstacle(topic):
            return self._verdict(command, Outcome.REJECTED, problem)
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._waiting[command.command_id] = (answer, final)
        self._subscriptions.dispatch(topic, encode_command(command), self._context)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await answer
        except TimeoutError:
            return self._verdict(command, Outcome.UNKNOWN, f"no result within {self._timeout_s:g} s")
        finally:
            del self._waiting[command.command_id]

    def _obstacle(self, topic: str) -> str | None:
        if not self._registrar.accepted:
            return "the CSMS has not accepted the station yet"
        if not any(matches(topic_filter, topic) for topic_filter in self._subscriptions.filters):
            return "this station takes no commands"
        return None

    def _command(self, call: Call, action: Action) -> Command:
        """A request comes over a link that stands: it is issued now."""
        now = self._time.now()
        return Command(
            command_id=message_id_of(self._session, call.message_id),
            station_id=self._station_id,
            issued_at=now,
            expires_at=now + timedelta(seconds=self._timeout_s),
            action=action,
        )

    def _verdict(self, command: Command, outcome: Outcome, reason: str) -> CommandResult:
        return CommandResult(
            command_id=command.command_id,
            station_id=self._station_id,
            outcome=outcome,
            timestamp=self._time.now(),
            reason=reason,
        )

    # --- what is answered here ----------------------------------------------------------------------------

    async def _get(self, call: Call) -> Document:
        return variables.variables_answer(call.payload, self._facts())

    async def _report(self, call: Call) -> tuple[Document, Then]:
        answer = variables.report_answer(call.payload)

        async def report() -> None:
            if answer["status"] == ACCEPTED:
                for payload in variables.base_report(call.payload, self._facts(), self._time.now()):
                    await self._teller.say(variables.NOTIFY_REPORT, payload)

        return answer, report

    async def _trigger(self, call: Call) -> tuple[Document, Then]:
        match call.payload["requestedMessage"]:
            case "BootNotification" if not self._registrar.accepted:
                self._registrar.boot_now.set()
                return station.trigger_answer(ACCEPTED), _nothing
            case "Heartbeat":
                return station.trigger_answer(ACCEPTED), self._teller.say_heartbeat
            case "StatusNotification" if self._outlook.tell_again(_evse_of(call.payload)):
                return station.trigger_answer(ACCEPTED), self._teller.say_state
            case wanted:
                return station.trigger_answer(REJECTED if wanted in _SAYS else "NotImplemented"), _nothing

    async def _cancel(self, call: Call) -> Document:
        text = "a reservation of this station ends at its expiryDateTime, or when its customer has come"
        return station.refusal_of(call.action, text)

    async def _reset(self, call: Call) -> Document:
        text = "this station is not begun anew from afar: swaps may be under way"
        return station.refusal_of(call.action, text)

    def _facts(self) -> Facts:
        configured = variables.configured(self._station_id, self._rules, self._registrar.heartbeat_s)
        return configured | self._outlook.facts


def _evse_of(payload: Document) -> int | None:
    """None: every one."""
    evse: int | None = payload.get("evse", {}).get("id")
    return evse


async def _nothing() -> None:
    """There is nothing to say."""
