"""Hold payloads to the official JSON schemas of OCPP 2.1, as the library ``ocpp`` ships them.

The library's own check says that a payload is wrong; this says which field, which rule and what was found.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError, best_match
from ocpp.messages import MessageType, get_validator  # type: ignore[import-untyped]

from evswap_edge.ocpp21.frames import Document
from evswap_schema import InvalidField, SchemaError

_VERSION: Final = "2.1"
_ACTION: Final = re.compile(r"[A-Za-z0-9]{1,64}")
"""An action becomes part of a file's name."""
_WITHHELD: Final = "a token, which is not shown"
_CODES: Final = {
    "required": "OccurrenceConstraintViolation",
    "minItems": "OccurrenceConstraintViolation",
    "maxItems": "OccurrenceConstraintViolation",
    "type": "TypeConstraintViolation",
    "additionalProperties": "FormatViolation",
}
_CODE: Final = "PropertyConstraintViolation"


class UnknownAction(SchemaError):
    """No message of OCPP 2.1 has the name ``action``."""

    def __init__(self, action: str) -> None:
        self.action = action
        super().__init__(f"{action!r:.80} is no message of OCPP {_VERSION}")


class InvalidPayload(InvalidField):
    """A payload of ``action`` whose ``field`` breaks ``rule``. ``code`` is what a CALLERROR says of that
    (OCPP-J 2.1, section 4.3). A customer's token is never among what it carries."""

    def __init__(self, action: str, *, field: str, rule: str, value: object, code: str = _CODE) -> None:
        self.action = action
        self.code = code
        super().__init__(field=field, rule=rule, value=_WITHHELD if "token" in field.lower() else value)


def checked_request(action: str, payload: Document) -> Document:
    """``payload``, which is a request as the schema of ``action`` wants it. Raises ``InvalidPayload`` or
    ``UnknownAction``."""
    return _checked(action, payload, MessageType.Call)


def checked_response(action: str, payload: Document) -> Document:
    """The same for the response to ``action``."""
    return _checked(action, payload, MessageType.CallResult)


def _checked(action: str, payload: Document, message_type: int) -> Document:
    error = best_match(_validator(action, message_type).iter_errors(payload))
    if error is not None:
        raise _told(action, error)
    return payload


@cache
def _validator(action: str, message_type: int) -> Draft4Validator:
    if not _ACTION.fullmatch(action):
        raise UnknownAction(action)
    try:
        validator: Draft4Validator = get_validator(message_type, action, _VERSION)
    except OSError as error:
        raise UnknownAction(action) from error
    return validator


def _told(action: str, error: ValidationError) -> InvalidPayload:
    """The error as a field, what it has to be, and what was found there."""
    broken, limit, steps = str(error.validator), error.validator_value, list(error.absolute_path)
    found: Any = error.instance
    code = _CODES.get(broken, _CODE)
    if broken == "required":
        steps.append(_first(name for name in _names(limit) if name not in found))
        return InvalidPayload(action, field=_path(steps), rule="required", value="nothing", code=code)
    if broken == "additionalProperties":
        known = _names(error.schema, "properties")
        steps.append(_first(name for name in found if name not in known))
        rule, found = "no such field in OCPP 2.1", found[steps[-1]]
    else:
        rule = f"{broken} {limit}"
    return InvalidPayload(action, field=_path(steps), rule=rule, value=found, code=code)


def _names(schema: Any, *keys: str) -> Iterable[str]:
    """The names that stand in a part of a schema."""
    for key in keys:
        schema = schema[key]
    names: Iterable[str] = schema
    return names


def _first(names: Iterable[str]) -> str:
    return next(iter(names))


def _path(steps: Iterable[Any]) -> str:
    """``batteryData[0].soC``"""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
