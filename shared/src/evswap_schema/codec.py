"""From bytes to messages and back.

``msgspec`` checks types and ranges. This module adds what it does not say or do: which value was found,
duplicate keys and non-finite numbers refused (RFC 8259 leaves both open), ``12.0`` taken for 12, and
timestamps held to the letter of RFC 3339.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

from evswap_schema.errors import InvalidField, MalformedMessage, OversizedMessage
from evswap_schema.timestamps import is_rfc3339

T = TypeVar("T")

_PATH: Final = re.compile(r"^(?P<rule>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"^Object missing required field `(?P<name>[^`]*)`$")
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_ABSENT: Final = "nothing"


def parse_json(raw: bytes) -> Any:
    """Read one JSON document strictly.

    Raises ``MalformedMessage`` for what is not UTF-8 or not JSON, nests too deeply, repeats a key, or holds a
    number that is not finite. Whole numbers come as ``int`` even when they were written as ``12.0``.
    """
    try:
        return json.loads(
            raw.decode(),
            object_pairs_hook=_object_without_duplicates,
            parse_float=_number,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise MalformedMessage(
            field="", rule="has to be UTF-8", value=raw[error.start : error.start + 8]
        ) from error
    except RecursionError:
        raise MalformedMessage(field="", rule="has to nest less deeply", value=raw[:16]) from None
    except ValueError as error:
        raise MalformedMessage(field="", rule=f"has to be JSON ({error})", value=raw) from error


def decode(raw: bytes, kind: type[T], *, limit: int) -> T:
    """Read ``raw``, at most ``limit`` bytes of JSON, as a message of ``kind``.

    Raises ``OversizedMessage``, ``MalformedMessage`` or ``InvalidField``.
    """
    if len(raw) > limit:
        raise OversizedMessage(field="", rule=f"at most {limit} bytes", value=f"{len(raw)} bytes")
    return convert(parse_json(raw), kind)


def decode_own(raw: bytes, kind: type[T]) -> T:
    """Read what ``encode`` wrote, several times faster than ``decode``: types and ranges are checked, and
    nothing is that only a stranger's writing could have wrong.

    Raises ``MalformedMessage`` or ``InvalidField``; then ``decode`` says more.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise _field_error(str(error), raw) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(field="", rule=f"has to be JSON ({error})", value=raw) from error


def convert(document: Any, kind: type[T]) -> T:
    """Make a message of ``kind`` from a parsed ``document``.

    Raises ``InvalidField``, or ``MalformedMessage`` for text that is no Unicode.
    """
    try:
        message = msgspec.convert(document, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise _field_error(str(error), document) from error
    except UnicodeEncodeError as error:
        # JSON can escape half of a surrogate pair ("\\ud800"), which is no character.
        raise MalformedMessage(field="", rule="text has to be Unicode", value=error.object) from error
    _require_rfc3339(document, type(message))
    return message


def encode(message: object) -> bytes:
    """Write ``message`` as JSON. The reverse of ``decode``."""
    return msgspec.json.encode(message)


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedMessage(field=twice, rule="a key may stand in an object once", value=twice)
    return document


def _number(text: str) -> int | float:
    value = float(text)
    if not math.isfinite(value):
        raise MalformedMessage(field="", rule="numbers have to be finite", value=text)
    return int(value) if value.is_integer() else value


def _refuse_constant(text: str) -> None:
    raise MalformedMessage(field="", rule="numbers have to be finite", value=text)


def _field_error(text: str, document: Any) -> InvalidField:
    match = _PATH.match(text)
    rule, path = (match["rule"], match["path"] or "") if match else (text, "")
    if missing := _MISSING.match(rule):
        return InvalidField(field=f"{path}.{missing['name']}".lstrip("."), rule="required", value=_ABSENT)
    return InvalidField(field=path, rule=rule, value=_value_at(document, path))


def _value_at(document: Any, path: str) -> Any:
    """Walk ``path`` (``bays[1].battery.soc``) down ``document``, as far as it can be followed."""
    for name, index in _STEP.findall(path):
        if name and isinstance(document, Mapping) and name in document:
            document = document[name]
        elif index and isinstance(document, list) and int(index) < len(document):
            document = document[int(index)]
        else:
            break
    return document


def _require_rfc3339(document: Any, kind: type) -> None:
    """msgspec also takes a space for the ``T``, which most readers of RFC 3339 refuse."""
    for name in _timestamp_fields(kind):
        text = document.get(name)
        if isinstance(text, str) and not is_rfc3339(text):
            raise InvalidField(field=name, rule="RFC 3339 such as 2026-11-23T08:15:30Z", value=text)


@cache
def _timestamp_fields(kind: type) -> tuple[str, ...]:
    return tuple(name for name, hint in get_type_hints(kind).items() if hint is datetime)
