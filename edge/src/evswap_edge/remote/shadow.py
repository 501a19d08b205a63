"""Follow the station's shadow: what is wished for there becomes its configuration, and what it runs with is
reported back.

A wish is a patch: keys that it does not name stay as they are. It has the last word on those that it names,
so a command that changes one of them changes the wish too.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from evswap_edge.documents import ConfigurationError
from evswap_edge.message import Message
from evswap_edge.remote.adjustments import Adjustments, patched, settings_of, shallow
from evswap_edge.remote.control import Control
from evswap_edge.remote.courier import Courier
from evswap_edge.transports import Rejected, Transport, TransportError
from evswap_schema import MalformedMessage, codec, shadow

_NO_SHADOW: Final = 404
_LONGEST_REASON: Final = 500

_log: Final = logging.getLogger(__name__)


class Shadow:
    """The named shadow of one station."""

    def __init__(self, *, station_id: str, control: Control, courier: Courier, transport: Transport) -> None:
        self._station_id = station_id
        self._control = control
        self._courier = courier
        self._transport = transport
        self._version = 0
        self._wished: Adjustments = {}
        self._reported: Mapping[str, Any] | None = None

    async def listen(self) -> None:
        """Hear the shadow's answers, on this link and on every later one."""
        hear = {
            shadow.GET_ACCEPTED: self._on_document,
            shadow.GET_REJECTED: self._on_no_document,
            shadow.DELTA: self._on_delta,
            shadow.UPDATE_ACCEPTED: self._on_update,
            shadow.UPDATE_REJECTED: self._on_refused,
        }
        for answer, on_message in hear.items():
            await _subscribed(self._transport, shadow.shadow_topic(self._station_id, answer), on_message)

    def on_link(self, up: bool) -> None:
        """On every new link: say how the station is, and ask what is wished for."""
        if up:
            self._version = 0
            self._reported = None
            self._report()
            self._ask()

    async def wish(self, patch: Adjustments) -> None:
        """Wish for ``patch`` as if somebody had written it into the shadow. Where that cannot be told the
        shadow keeps what it has."""
        update = codec.encode({"state": {"desired": patch}})
        try:
            await self._transport.send(self._message(shadow.UPDATE, update))
        except TransportError as error:
            _log.warning("the shadow cannot be told what was commanded: %s", error)

    # --- what the service says ----------------------------------------------------------------------------

    def _on_document(self, topic: str, payload: bytes) -> None:  # noqa: ARG002
        """All of it, as asked for."""
        if (document := _read(payload)) is None or self._is_old(document):
            return
        state = document.get("state")
        desired = state.get("desired") if isinstance(state, Mapping) else None
        self._wished = shallow(desired) if isinstance(desired, Mapping) else {}
        self._follow()

    def _on_delta(self, topic: str, payload: bytes) -> None:  # noqa: ARG002
        """What of the wish is not as reported."""
        document = _read(payload)
        if document is None or self._is_old(document) or not isinstance(document.get("state"), Mapping):
            return
        self._wished = patched(self._wished, shallow(document["state"]))
        self._follow()

    def _on_update(self, topic: str, payload: bytes) -> None:  # noqa: ARG002
        """A wish that is taken back makes no delta; it matters where it was refused."""
        state = (_read(payload) or {}).get("state")
        if isinstance(state, Mapping) and "desired" in state and self._control.refusal is not None:
            self._ask()

    def _on_no_document(self, topic: str, payload: bytes) -> None:  # noqa: ARG002
        """There is no shadow yet: the report makes it."""
        document = _read(payload)
        if document is not None and document.get("code") != _NO_SHADOW:
            _log.warning("the shadow cannot be read: %s", document.get("message"))

    def _on_refused(self, topic: str, payload: bytes) -> None:  # noqa: ARG002
        document = _read(payload) or {}
        _log.warning("the shadow does not take the report: %s", document.get("message"))

    def _is_old(self, document: Mapping[str, Any]) -> bool:
        """Messages may overtake one another; the version only grows."""
        version = document.get("version")
        if not isinstance(version, int) or version < self._version:
            return True
        self._version = version
        return False

    # --- what the station does ----------------------------------------------------------------------------

    def _follow(self) -> None:
        """Have what is wished for, unless it is so already, or was refused already."""
        wanted = patched(self._control.adjustments, self._wished)
        if wanted != self._control.adjustments and not self._refuses(wanted):
            try:
                self._control.adjust(wanted)
            except ConfigurationError as error:
                told = {"key": error.key}
                _log.error("wished configuration refused, the one before stays: %s", error, extra=told)
        self._report()

    def _refuses(self, wanted: Adjustments) -> bool:
        return self._control.refusal is not None and self._control.refusal.adjustments == wanted

    def _report(self) -> None:
        """What the station runs with, and why that is not what is wished for."""
        report = {**settings_of(self._control.configuration), shadow.REFUSED: self._refused()}
        if report != self._reported:
            self._reported = report
            update = codec.encode({"state": {"reported": report}})
            self._courier.say("shadow-report", self._message(shadow.UPDATE, update))

    def _refused(self) -> dict[str, str] | None:
        refusal = self._control.refusal
        if refusal is None or not self._refuses(patched(self._control.adjustments, self._wished)):
            return None
        return {"key": refusal.key, "reason": refusal.reason[:_LONGEST_REASON]}

    def _ask(self) -> None:
        self._courier.say("shadow-get", self._message(shadow.GET, b""))

    def _message(self, request: str, payload: bytes) -> Message:
        return Message(topic=shadow.shadow_topic(self._station_id, request), payload=payload)


async def _subscribed(transport: Transport, topic: str, on_message: Any) -> None:
    """A refusal is the transport's to report; the next link asks again."""
    try:
        await transport.subscribe(topic, on_message)
    except Rejected:
        _log.debug("no shadow: %s is refused", topic)


def _read(payload: bytes) -> Mapping[str, Any] | None:
    try:
        document = codec.parse_json(payload)
    except MalformedMessage as error:
        _log.warning("the shadow said what cannot be read: %s", error)
        return None
    return document if isinstance(document, Mapping) else None
