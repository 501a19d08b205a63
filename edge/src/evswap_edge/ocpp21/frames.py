"""What travels over the WebSocket (OCPP-J 2.1, part 4, section 4): arrays that begin with their type.

The library ``ocpp`` knows neither CALLRESULTERROR nor SEND, which 2.1 has added, and takes numbers that are
not finite; this reads all five strictly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from evswap_schema import InvalidMessage, codec

SUBPROTOCOL: Final = "ocpp2.1"
UNREADABLE_ID: Final = "-1"
"""Names a message whose id cannot be read (section 4.2.3)."""

MessageId = Annotated[str, Meta(min_length=1, max_length=36)]
Document = dict[str, Any]

_CALL: Final = 2
_CALL_RESULT: Final = 3
_CALL_ERROR: Final = 4
_CALL_RESULT_ERROR: Final = 5
_SEND: Final = 6
_LONGEST_DESCRIPTION: Final = 255


class InvalidFrame(InvalidMessage):
    """Text that is no message of OCPP-J. ``message_id`` is the message's as far as it can be read."""

    def __init__(self, *, rule: str, value: object, message_id: str = UNREADABLE_ID) -> None:
        self.message_id = message_id
        super().__init__(field="", rule=rule, value=value)


@dataclass(frozen=True, slots=True)
class Call:
    """A request."""

    message_id: str
    action: str
    payload: Document


@dataclass(frozen=True, slots=True)
class CallResult:
    """The answer to a request."""

    message_id: str
    payload: Document


@dataclass(frozen=True, slots=True)
class CallError:
    """A request is not answered; ``code`` says why, one of the codes of section 4.3."""

    message_id: str
    code: str
    description: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallResultError:
    """An answer was none that its receiver could use."""

    message_id: str
    code: str
    description: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Send:
    """Something that nobody answers."""

    message_id: str
    action: str
    payload: Document


Frame = Call | CallResult | CallError | CallResultError | Send

_SHAPES: Final[dict[int, tuple[type[Any], Any]]] = {
    _CALL: (Call, tuple[MessageId, str, Document]),
    _CALL_RESULT: (CallResult, tuple[MessageId, Document]),
    _CALL_ERROR: (CallError, tuple[MessageId, str, str, Document]),
    _CALL_RESULT_ERROR: (CallResultError, tuple[MessageId, str, str, Document]),
    _SEND: (Send, tuple[MessageId, str, Document]),
}
_TYPES: Final = {kind: number for number, (kind, _) in _SHAPES.items()}


def decode_frame(raw: str | bytes) -> Frame:
    """Read one message. Raises ``InvalidFrame``."""
    try:
        document = codec.parse_json(raw.encode() if isinstance(raw, str) else raw)
    except InvalidMessage as error:
        raise InvalidFrame(rule=error.rule, value=raw) from error
    match document:
        case [int() as number, *parts] if number in _SHAPES:
            return _frame(number, parts)
    raise InvalidFrame(rule="an array that begins with a message type of OCPP-J", value=document)


def encode_frame(frame: Frame) -> str:
    """Write one message. The reverse of ``decode_frame``."""
    number = _TYPES[type(frame)]
    match frame:
        case Call() | Send():
            parts = [frame.message_id, frame.action, frame.payload]
        case CallResult():
            parts = [frame.message_id, frame.payload]
        case _:
            description = frame.description[:_LONGEST_DESCRIPTION]
            parts = [frame.message_id, frame.code, description, frame.details]
    return msgspec.json.encode([number, *parts]).decode()


def _frame(number: int, parts: list[Any]) -> Frame:
    kind, shape = _SHAPES[number]
    try:
        made: Frame = kind(*msgspec.convert(parts, shape))
    except msgspec.ValidationError as error:
        known = parts[0] if parts and isinstance(parts[0], str) and parts[0] else UNREADABLE_ID
        raise InvalidFrame(rule=str(error), value=[number, *parts], message_id=known) from error
    return made
