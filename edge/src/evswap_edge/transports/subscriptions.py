"""Who wants to hear what: kept for as long as a transport is open, whatever becomes of its links."""

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context
from typing import Final

from evswap_edge.episode import Episode
from evswap_edge.transports import OnMessage, Rejected

_log: Final = logging.getLogger(__name__)


class Subscriptions:
    """The subscribers of one transport, and which topic filters the far side refuses."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._subscribers: dict[str, list[OnMessage]] = {}
        self._refusals: dict[str, Episode] = {}

    @property
    def filters(self) -> tuple[str, ...]:
        """What to subscribe to, in the order in which it was asked for."""
        return tuple(self._subscribers)

    def add(self, topic_filter: str, on_message: OnMessage) -> None:
        """From now on ``on_message`` hears what matches ``topic_filter``; once, however often it asks."""
        subscribers = self._subscribers.setdefault(topic_filter, [])
        if on_message not in subscribers:
            subscribers.append(on_message)

    def dispatch(self, topic: str, payload: bytes, context: Context) -> None:
        """Let every subscriber hear a message, one after another, and after those of the messages before.

        Each is called by the event loop itself: one that raises harms neither the link nor the others.
        """
        loop = asyncio.get_running_loop()
        for topic_filter, subscribers in self._subscribers.items():
            if matches(topic_filter, topic):
                for on_message in subscribers:
                    loop.call_soon(on_message, topic, payload, context=context)

    def refused(self, refusal: Rejected) -> None:
        """Report it, if that is news."""
        self._episode(refusal.topic).begin(refusal)

    def accepted(self, topic_filter: str) -> None:
        """Report that it works again, if it did not."""
        self._episode(topic_filter).end()

    def _episode(self, topic_filter: str) -> Episode:
        if topic_filter not in self._refusals:
            subject = f"subscription to {topic_filter}"
            self._refusals[topic_filter] = Episode(_log, subject, monotonic=self._monotonic)
        return self._refusals[topic_filter]


def matches(topic_filter: str, topic: str) -> bool:
    """Whether ``topic`` is one that ``topic_filter`` asks for (MQTT 5, section 4.7).

    A wildcard at the beginning stands for no topic that begins with ``$``.
    """
    if topic.startswith("$") and topic_filter[:1] in {"+", "#"}:
        return False
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(
        want in {"+", level} for want, level in zip(wanted, levels, strict=True)
    )
