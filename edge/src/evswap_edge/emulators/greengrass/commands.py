"""What a person can do to the emulated nucleus, as lines of text."""

import json
from collections.abc import Callable
from typing import Any, Final

from evswap_edge.emulators.greengrass.nucleus import EmulatedNucleus
from evswap_edge.emulators.greengrass.uplink import Broker, Published

_ERRORS: Final = ("ServiceError", "UnauthorizedError", "InvalidArgumentsError", "ResourceNotFoundError")

_SWITCH: Final = {"on": True, "off": False}


class BadCommand(Exception):
    """A line that is no command. The text says what would be one."""


class Commands:
    """Obeys one line at a time, and answers each with one."""

    def __init__(self, nucleus: EmulatedNucleus) -> None:
        self._nucleus = nucleus
        self._by_name: dict[str, Callable[[str], str | None]] = {
            "configure": self._configure,
            "broker": self._broker,
            "answers": self._answers,
            "fail": self._fail,
            "refuse": self._refuse,
            "publish": self._publish,
            "acknowledge": self._acknowledge,
            "subscriptions": self._subscriptions,
            "hang-up": self._hang_up,
            "restart": self._restart,
            "status": self._status,
        }

    def obey(self, line: str) -> str:
        """``ok``, perhaps with what was asked for, or ``error: ...``."""
        name, _, rest = line.strip().partition(" ")
        try:
            if name not in self._by_name:
                raise BadCommand(f"{name!r} is none of {', '.join(self._by_name)}")
            told = self._by_name[name](rest.strip())
        except BadCommand as problem:
            return f"error: {problem}"
        return f"ok {told}" if told else "ok"

    def _configure(self, rest: str) -> None:
        try:
            changes: Any = json.loads(rest)
        except ValueError as error:
            raise BadCommand(f"configure takes a JSON object ({error})") from error
        if not isinstance(changes, dict):
            raise BadCommand(
                'configure takes a JSON object, such as {"station": {"log": {"level": "debug"}}}'
            )
        self._nucleus.configure(changes)

    def _broker(self, rest: str) -> None:
        name, _, after_s = rest.partition(" ")
        if name not in list(Broker) or not (after_s or "0").replace(".", "", 1).isdecimal():
            raise BadCommand(f"broker is one of {', '.join(Broker)}, and perhaps after how many seconds")
        self._nucleus.set_broker(Broker(name), after_s=float(after_s or 0))

    def _acknowledge(self, rest: str) -> None:
        if rest not in _SWITCH:
            raise BadCommand("acknowledge is on or off")
        self._nucleus.acknowledging = _SWITCH[rest]

    def _subscriptions(self, rest: str) -> None:
        match rest:
            case "end":
                self._nucleus.end_subscriptions()
            case "forget":
                self._nucleus.forget_subscriptions()
            case _:
                raise BadCommand("subscriptions takes end or forget")

    def _answers(self, rest: str) -> None:
        match rest:
            case "hold":
                self._nucleus.hold_answers()
            case "release":
                self._nucleus.release_answers()
            case _:
                raise BadCommand("answers takes hold or release")

    def _fail(self, rest: str) -> None:
        error, _, count = rest.partition(" ")
        if error not in _ERRORS or not (count or "1").isdecimal():
            raise BadCommand(f"fail takes one of {', '.join(_ERRORS)}, and how many publishes")
        self._nucleus.operations.to_fail.extend([error] * int(count or "1"))

    def _refuse(self, rest: str) -> None:
        operation, _, count = rest.partition(" ")
        operations = self._nucleus.operations
        if operation not in operations.names or not (count or "1").isdecimal():
            raise BadCommand(f"refuse takes one of {', '.join(operations.names)}, and how often")
        operations.to_refuse[operation] += int(count or "1")

    def _publish(self, rest: str) -> None:
        topic, _, text = rest.partition(" ")
        if not topic:
            raise BadCommand("publish takes a topic and a text")
        self._nucleus.deliver(Published(topic, text.encode()))

    def _hang_up(self, _: str) -> None:
        self._nucleus.hang_up()

    def _restart(self, _: str) -> str:
        self._nucleus.restart()
        return f"SVCUID={self._nucleus.token}"

    def _status(self, _: str) -> str:
        return json.dumps(self._nucleus.status())
