"""What can be wrong with a message.

SchemaError
├── InvalidMessage        field, rule, value
│   ├── MalformedMessage  not JSON, not UTF-8, duplicate keys, non-finite numbers, damaged compression
│   ├── OversizedMessage  more bytes than the kind of message may have
│   └── InvalidField      a field is missing, or has the wrong type, or is out of its range
└── InvalidTopic          a topic that the table does not hold, or a station_id that cannot be part of one
"""

from typing import Final

_LONGEST_VALUE: Final = 80


class SchemaError(Exception):
    """The root of everything that this package raises."""


class InvalidMessage(SchemaError):
    """A message that breaks the contract.

    ``field`` is the path of the offending field (``bays[1].battery.soc``; empty for the whole message),
    ``rule`` says what would have been right, and ``value`` is what was found, as text, truncated.
    """

    def __init__(self, *, field: str, rule: str, value: object) -> None:
        self.field = field
        self.rule = rule
        self.value = shorten(value)
        super().__init__(f"{field or 'message'}: {rule}; found {self.value}")


class MalformedMessage(InvalidMessage):
    """Bytes that are not one JSON document as the contract wants it."""


class OversizedMessage(InvalidMessage):
    """More bytes than a message of this kind may have."""


class InvalidField(InvalidMessage):
    """A document whose field is missing, of a wrong type, or out of its range."""


class InvalidTopic(SchemaError):
    """A topic that is not in the table, or a ``station_id`` that cannot be a level of one."""

    def __init__(self, *, topic: str, rule: str) -> None:
        self.topic = topic
        self.rule = rule
        super().__init__(f"topic {shorten(topic)}: {rule}")


def shorten(value: object) -> str:
    """Write ``value`` so that it fits into a log line, whatever a hostile sender put in."""
    try:
        text = repr(value[: _LONGEST_VALUE * 2] if isinstance(value, str | bytes) else value)
    except RecursionError:
        text = f"a {type(value).__name__} that nests too deeply"
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
