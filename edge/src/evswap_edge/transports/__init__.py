"""The way to the cloud by name. A transport is imported when a configuration names it, and not before.

A transport's ``send`` returns when the far side has accepted the message, and only then may the outbox
forget it.

    TransportError
    ├── NotConnected      no link, or it broke before the far side answered; try again when there is one
    ├── NotAcknowledged   the link stands, but no answer came in time; try again
    ├── Rejected          the far side refused the message; if ``permanent``, it will do so again
    ├── CertificateRefused  the far side does not take the certificate that it was shown (a NotConnected)
    ├── CredentialsError  certificate or key missing, unreadable, expired, refused, or not a pair
    ├── NotUnderGreengrass  the environment lacks what a Greengrass nucleus gives its components
    └── RestartRequired   the link is gone for as long as this process lives

``ENDING`` are those that nothing mends while this process lives: they end the station. Credentials are none
of them: their files may be replaced at any time, and meanwhile there is something to sample.

Another distribution adds a transport with an entry point in the group ``evswap_edge.transports`` that names a
``TransportKind``.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from msgspec import Struct

from evswap_edge import plugins
from evswap_edge.clock import TimeSource
from evswap_edge.message import Message
from evswap_edge.plugins import Builtin
from evswap_schema import aws_topic

OnMessage = Callable[[str, bytes], None]
"""What a subscriber is called with: topic and payload."""

SettingsT = TypeVar("SettingsT", bound=Struct)

ENTRY_POINTS: Final = "evswap_edge.transports"
BUILTINS: Final = {
    "aws-iot": Builtin("evswap_edge.transports.aws_iot:KIND"),
    "greengrass": Builtin("evswap_edge.transports.greengrass:KIND"),
    "memory": Builtin("evswap_edge.transports.memory:KIND"),
    "mqtt": Builtin("evswap_edge.transports.mqtt:KIND", needs_openssl=True),
    "ocpp": Builtin("evswap_edge.transports.ocpp:KIND", extra="ocpp", needs_openssl=True),
}


class ReasonCode(IntEnum):
    """The reason codes of MQTT 5 (section 2.4) that the edge tells apart; 0x80 and above are failures."""

    SUCCESS = 0x00
    NO_MATCHING_SUBSCRIBERS = 0x10
    UNSPECIFIED_ERROR = 0x80
    NOT_AUTHORIZED = 0x87
    TOPIC_NAME_INVALID = 0x90
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A


ACCEPTED: Final = frozenset({ReasonCode.SUCCESS, ReasonCode.NO_MATCHING_SUBSCRIBERS})
PERMANENT: Final = frozenset(
    {ReasonCode.TOPIC_NAME_INVALID, ReasonCode.PACKET_TOO_LARGE, ReasonCode.PAYLOAD_FORMAT_INVALID}
)
"""These lie in the message itself. All others lie in the far side (a policy, a quota) and may pass."""


class TransportError(Exception):
    """The root of everything that a transport raises on purpose."""


class NotConnected(TransportError):
    """No link. ``reason_code`` is what the far side closed the link with while this message was under way."""

    def __init__(self, reason: str, *, reason_code: int | None = None) -> None:
        self.reason = reason
        self.reason_code = reason_code
        code = "" if reason_code is None else f" (reason code {reason_code:#04x})"
        super().__init__(f"not connected: {reason}{code}")


class CertificateRefused(NotConnected):
    """The far side does not take the certificate that this station has shown."""


class NotAcknowledged(TransportError):
    """The far side did not answer within ``timeout_s``; whether it has the message is unknown."""

    def __init__(self, *, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        super().__init__(f"no acknowledgement within {timeout_s:g} s")


class Rejected(TransportError):
    """The far side refused the message. ``reason_code`` is None when it was none that MQTT 5 knows."""

    def __init__(self, *, topic: str, reason_code: int | None, reason: str = "") -> None:
        self.topic = topic
        self.reason_code = reason_code
        self.reason = reason
        code = "an unknown reason code" if reason_code is None else f"reason code {reason_code:#04x}"
        super().__init__(f"{topic} refused with {code}{f': {reason}' if reason else ''}")

    @property
    def permanent(self) -> bool:
        """Whether the message itself is at fault, so that it would be refused again."""
        return self.reason_code in PERMANENT


class CredentialsError(TransportError):
    """The station cannot prove who it is. ``path`` is the file at fault."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


class NotUnderGreengrass(TransportError):
    """Whatever started this process is no Greengrass nucleus: ``variable`` is not in the environment."""

    def __init__(self, variable: str) -> None:
        self.variable = variable
        super().__init__(
            f"the environment has no {variable}, which a Greengrass nucleus gives its components; deploy"
            " this as a component, or, to try it, start `evswap-edge emulate greengrass` and use the lines"
            " that it prints"
        )


class RestartRequired(TransportError):
    """The link cannot be had again by this process: end it, and have it started again. What is stored waits
    for that."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"{reason}; this process has to end and be started again, nothing that is stored is lost"
        )


ENDING: Final = (NotUnderGreengrass, RestartRequired)


class Assurance(Enum):
    """What the return of ``send`` proves."""

    DELIVERED = auto()
    """The far side has the message."""
    HANDED_OVER = auto()
    """Somebody on the way has taken it; only the far side's own confirmation proves more."""


def _nobody(_: object) -> None:
    """Wants to know nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """For whom a link is opened.

    The broker publishes ``will`` when the link ends without a farewell. ``on_link`` is called in the event
    loop with True for every new link, once its subscriptions are made, and with False when it has ended.
    ``on_credentials`` is called with what is wrong with certificate and key, and with None when nothing is.
    ``swap_rules`` is what the station's swaps go by, key by key as configured, for a far side that may ask.
    """

    station_id: str
    time: TimeSource
    will: Message | None = None
    on_link: Callable[[bool], None] = _nobody
    on_credentials: Callable[[CredentialsError | None], None] = _nobody
    swap_rules: Mapping[str, Any] = field(default_factory=dict)


class Transport(Protocol):
    """A link to the cloud that mends itself."""

    @property
    def assurance(self) -> Assurance:
        """What the return of ``send`` proves."""
        ...

    async def connect(self) -> None:
        """Return as soon as there is a link and the subscriptions are made; wait for as long as it takes.
        May be called again, to wait again."""
        ...

    async def send(self, message: Message) -> None:
        """Return when the far side has accepted ``message``. Raises ``TransportError``; then it may have it
        or not."""
        ...

    async def subscribe(self, topic_filter: str, on_message: OnMessage) -> None:
        """Have ``on_message`` called in the event loop for every message that matches, in the order of their
        arrival, for as long as this transport is open: every new link takes the subscription up. Asking again
        with the same ``on_message`` makes it anew, for whoever doubts that it still stands.

        Returns when the far side has accepted it, or at once while there is no link. Raises ``Rejected`` or
        ``NotAcknowledged``; the next link asks again, so that a policy can be mended.
        """
        ...

    async def aclose(self) -> None:
        """Give up the link. Safe to call twice, and without ``connect``."""
        ...


@dataclass(frozen=True, slots=True)
class TransportKind(Generic[SettingsT]):
    """A transport: what it lets be configured, how its settings are checked beyond that, and how it is
    opened.

    ``settings`` is a frozen struct that forbids unknown fields. ``check`` raises ``CredentialsError`` for
    what would keep it from connecting; it makes no connection. ``open`` does not look at that: a link whose
    credentials are of no use waits for better ones, and tells its caller.
    ``station_files`` names the settings that differ from station to station of a fleet, given the folder of
    the certificates and a station. ``topic`` tells the topic of a channel, as ``broker_topic`` does;
    ``keeps_wills`` whether the far side publishes a will, without which a retained "online" would stand for
    ever; ``renews`` whether it certifies stations anew; ``longest_name`` how many characters of a station's
    id the far side takes, where that is less than ours.
    """

    settings: type[SettingsT]
    check: Callable[[SettingsT, TimeSource], None]
    open: Callable[[SettingsT, Caller], Awaitable[Transport]]
    station_files: Callable[[Path, str], dict[str, str]]
    topic: Callable[..., str] = aws_topic
    keeps_wills: bool = True
    renews: bool = False
    longest_name: int | None = None


def load_transport(name: str) -> TransportKind[Any]:
    """The transport called ``name``. Raises ``UnknownPlugin`` or ``PluginUnavailable``."""
    kind: TransportKind[Any] = plugins.load(name, kind="transport", builtins=BUILTINS, group=ENTRY_POINTS)
    return kind
