"""What a component may ask the nucleus for: the operations that nucleus lite 2.6 has."""

import re
from base64 import b64decode, b64encode
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from evswap_edge.emulators.greengrass import access
from evswap_edge.emulators.greengrass.configuration import Configuration, KeyPath
from evswap_edge.emulators.greengrass.connection import Connection
from evswap_edge.emulators.greengrass.uplink import MAX_UNACKNOWLEDGED, NoUplink, Published, Uplink

VANISHES_FROM_BYTES: Final = 5_000
"""Nucleus lite drops what comes for a component, without a word, from this size on."""

FROM_THE_CLOUD: Final = "IoTCoreMessage"
"""The type of the events that a subscription to AWS IoT Core brings."""

Body = dict[str, Any]


class Refusal(Exception):
    """The request is answered with the error of this name."""

    def __init__(self, error: str) -> None:
        self.error = error
        super().__init__(error)


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a component."""

    connection: Connection
    stream: int
    body: Body

    def text(self, key: str) -> str:
        """A text that has to be there. Raises ``Refusal``."""
        value = self.body.get(key)
        if not isinstance(value, str):
            raise Refusal("ServiceError")
        return value

    def key_path(self) -> KeyPath:
        """The keys that lead to a setting; none: the whole configuration."""
        return tuple(map(str, self.body.get("keyPath") or ()))


@dataclass(frozen=True, slots=True)
class Subscription:
    """A stream that gets an event for everything that ``wants`` it."""

    request: Request
    model: str
    wants: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back; ``None``: not yet. ``subscription`` begins after it was sent."""

    body: Body | None = field(default_factory=dict)
    subscription: Subscription | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A publish that the nucleus has read and not answered."""

    request: Request
    message: Published
    qos: int


class Operations:
    """A component's requests, one method an operation, and what a person may do to their answers.

    ``asked`` counts the requests, ``refused`` the errors that were answered, ``most_under_way`` is the
    highest number of QoS 1 publishes that were unanswered or unacknowledged at once.
    """

    def __init__(
        self,
        component: str,
        configuration: Configuration,
        uplink: Uplink,
        tell: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.configuration = configuration
        self.uplink = uplink
        self.asked: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.most_under_way = 0
        self.to_fail: deque[str | None] = deque()
        """How the next publishes are answered, one each: with this error, or as it comes."""
        self.to_refuse: Counter[str] = Counter()
        """How many of the next requests for an operation the daemon behind it is not there to answer."""
        self.holding = False
        self.held: deque[Held] = deque()
        self.local: list[Published] = []
        self._component = component
        self._tell = tell
        self._by_name: dict[str, Callable[[Request], Answer]] = {
            "GetConfiguration": self._get_configuration,
            "UpdateConfiguration": self._update_configuration,
            "SubscribeToConfigurationUpdate": self._subscribe_to_configuration,
            "UpdateState": self._update_state,
            "PublishToIoTCore": self._publish_to_iot_core,
            "SubscribeToIoTCore": self._subscribe_to_iot_core,
            "PublishToTopic": self._publish_to_topic,
            "SubscribeToTopic": self._subscribe_to_topic,
        }
        self.changed: list[KeyPath] = []

    @property
    def names(self) -> tuple[str, ...]:
        """Of all operations."""
        return tuple(self._by_name)

    def perform(self, operation: str, request: Request) -> Answer:
        """Raises ``Refusal``; also for what nucleus lite does not have (secrets, shadows, metrics)."""
        self.asked[operation] += 1
        try:
            perform = self._by_name.get(operation)
            if perform is None or self._is_away(operation):
                raise Refusal("ServiceError")
            return _valid(perform, request)
        except Refusal as refusal:
            self.refused[refusal.error] += 1
            raise

    def _is_away(self, operation: str) -> bool:
        away = self.to_refuse[operation] > 0
        self.to_refuse[operation] -= away
        return away

    # --- configuration and state --------------------------------------------------------------------------

    def _get_configuration(self, request: Request) -> Answer:
        component = request.body.get("componentName") or self._component
        try:
            if component != self._component:
                raise KeyError(component)
            value = self.configuration.read(request.key_path())
        except KeyError as error:
            raise Refusal("ResourceNotFoundError") from error
        return Answer({"componentName": component, "value": value})

    def _update_configuration(self, request: Request) -> Answer:
        value = request.body.get("valueToMerge")
        if not isinstance(value, Mapping):
            raise Refusal("ServiceError")
        self.changed += self.configuration.merge(request.key_path(), value)
        return Answer()

    def _subscribe_to_configuration(self, request: Request) -> Answer:
        above = request.key_path()
        return Answer(
            subscription=Subscription(
                request, "ConfigurationUpdateEvents", lambda path: path[: len(above)] == above
            )
        )

    def _update_state(self, request: Request) -> Answer:
        self._tell({"state": request.text("state")})
        return Answer()

    # --- AWS IoT Core -------------------------------------------------------------------------------------

    def _publish_to_iot_core(self, request: Request) -> Answer:
        message = Published(request.text("topicName"), b64decode(request.body.get("payload") or ""))
        self._require("PublishToIoTCore", access.MQTT, message.topic)
        if self.to_fail and (error := self.to_fail.popleft()):
            raise Refusal(error)
        qos = int(request.body.get("qos") or 0)
        held = Held(request, message, qos)
        if qos:
            self._count_one_more()
        if self.holding:
            self.held.append(held)
            return Answer(body=None)
        return self.publish(held)

    def publish(self, held: Held) -> Answer:
        """Hand a publish on to the broker. Raises ``Refusal``."""
        try:
            self.uplink.publish(held.message, qos=held.qos)
        except NoUplink as error:
            raise Refusal("ServiceError") from error
        return Answer()

    def _count_one_more(self) -> None:
        under_way = self.uplink.unacknowledged + len(self.held) + 1
        self.most_under_way = max(self.most_under_way, under_way)
        if under_way > MAX_UNACKNOWLEDGED:
            self._tell({"too_many_under_way": under_way})
            raise Refusal("ServiceError")

    def _subscribe_to_iot_core(self, request: Request) -> Answer:
        topic_filter = request.text("topicName")
        self._require("SubscribeToIoTCore", access.MQTT, topic_filter)
        try:
            self.uplink.subscribe()
        except NoUplink as error:
            raise Refusal("ServiceError") from error
        return Answer(
            subscription=Subscription(request, FROM_THE_CLOUD, lambda topic: matches(topic_filter, topic))
        )

    # --- other components ---------------------------------------------------------------------------------

    def _publish_to_topic(self, request: Request) -> Answer:
        topic = request.text("topic")
        self._require("PublishToTopic", access.LOCAL, topic)
        sent = request.body.get("publishMessage") or {}
        self.local.append(Published(topic, b64decode((sent.get("binaryMessage") or {}).get("message") or "")))
        return Answer()

    def _subscribe_to_topic(self, request: Request) -> Answer:
        topic_filter = request.text("topic")
        self._require("SubscribeToTopic", access.LOCAL, topic_filter)
        return Answer(
            subscription=Subscription(
                request, "SubscriptionResponseMessage", lambda topic: matches(topic_filter, topic)
            )
        )

    def _require(self, operation: str, service: str, resource: str) -> None:
        try:
            allowed = self.configuration.read(("accessControl",))
        except KeyError:
            allowed = None
        if not access.is_allowed(
            allowed, service=service, operation=f"aws.greengrass#{operation}", resource=resource
        ):
            self._tell({"unauthorized": operation, "resource": resource})
            raise Refusal("UnauthorizedError")


def _valid(perform: Callable[[Request], Answer], request: Request) -> Answer:
    try:
        return perform(request)
    except (ValueError, KeyError) as error:
        raise Refusal("ServiceError") from error


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a subscription to ``topic_filter`` gets what is sent on ``topic`` (MQTT 5, section 4.7)."""
    expression = re.escape(topic_filter).replace(r"\+", "[^/]*")
    if expression.endswith(r"/\#"):
        expression = expression.removesuffix(r"/\#") + "(/.*)?"
    return re.fullmatch(expression.replace(r"\#", ".*"), topic) is not None


def iot_core_event(message: Published) -> Body:
    """``message`` as a subscriber gets it from AWS IoT Core."""
    return {"message": {"topicName": message.topic, "payload": b64encode(message.payload).decode()}}


def local_event(message: Published) -> Body:
    """``message`` as a subscriber gets it from another component."""
    sent = {"message": b64encode(message.payload).decode(), "context": {"topic": message.topic}}
    return {"binaryMessage": sent}


def configuration_event(component: str, path: KeyPath) -> Body:
    """That something changed at ``path``; nucleus lite names the leaf alone."""
    return {"configurationUpdateEvent": {"componentName": component, "keyPath": [path[-1]]}}
