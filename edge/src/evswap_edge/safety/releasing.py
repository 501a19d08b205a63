"""How a person at the station asks the running interlock for a release: a file beside the outbox, and another
with the answer. Nothing that comes over the network gets there.

A request is good for a few seconds of the boot in which it was made: one that nobody answered must not be
granted hours later, when nobody stands there any more.
"""

import asyncio
import logging
import time as system_time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final
from uuid import uuid4

import msgspec
from msgspec import Meta, Struct

from evswap_edge.clock import TimeSource
from evswap_edge.files import remove, write_private
from evswap_schema.fields import ShortText
from evswap_schema.limits import MAX_BAYS

GOOD_FOR_S: Final = 30.0
_LOOK_AGAIN_S: Final = 0.1
_LARGEST_BYTES: Final = 4_096

_log: Final = logging.getLogger(__name__)


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``who`` asks for ``place``, a bay or 0 for the cabinet, to be released, at ``uptime`` seconds of the
    boot ``boot_id``."""

    request_id: ShortText
    place: Annotated[int, Meta(ge=0, le=MAX_BAYS)]
    who: ShortText
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    boot_id: str
    uptime: float


class Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of a request, in words."""

    request_id: str
    released: bool
    detail: str


class ReleaseError(Exception):
    """Nothing was released, or it is not known. ``reason`` says why, and what to do."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def request_path(outbox: Path) -> Path:
    """Where a request waits."""
    return outbox.with_name(f"{outbox.name}.release")


def answer_path(outbox: Path) -> Path:
    """Where the last answer lies."""
    return outbox.with_name(f"{outbox.name}.released")


def new_request(place: int, *, who: str, reason: str, time: TimeSource) -> Request:
    """Raises ``ReleaseError`` where a name or a reason is none."""
    request = Request(
        request_id=str(uuid4()),
        place=place,
        who=who.strip(),
        reason=reason.strip(),
        boot_id=time.boot_id,
        uptime=time.monotonic(),
    )
    try:
        return msgspec.convert(msgspec.to_builtins(request), Request)
    except msgspec.ValidationError as error:
        raise ReleaseError(f"that cannot be asked for: {error}") from error


def ask(outbox: Path, request: Request, *, within_s: float) -> Answer:
    """The answer of the station that runs on ``outbox``. Raises ``ReleaseError``."""
    try:
        write_private(request_path(outbox), msgspec.json.encode(request), replace=False)
    except FileExistsError as error:
        reason = f"another request waits in {request_path(outbox)}; delete it if nobody else is at it"
        raise ReleaseError(reason) from error
    except OSError as error:
        raise ReleaseError(
            f"cannot write beside the outbox: {error}; run this as the station's user"
        ) from error
    try:
        return _answer_to(outbox, request, within_s)
    finally:
        with suppress(OSError):
            remove(request_path(outbox))


def _answer_to(outbox: Path, request: Request, within_s: float) -> Answer:
    end = system_time.monotonic() + within_s
    while system_time.monotonic() < end:
        with suppress(OSError, msgspec.MsgspecError):
            answer = msgspec.json.decode(answer_path(outbox).read_bytes(), type=Answer)
            if answer.request_id == request.request_id:
                return answer
        system_time.sleep(_LOOK_AGAIN_S)
    raise ReleaseError(
        f"no answer within {within_s:g} s: the station has to run, with its interlock on, and this command "
        "has to run as the station's user"
    )


class Counter:
    """Where a station's interlock takes requests and gives answers."""

    def __init__(self, outbox: Path, time: TimeSource) -> None:
        self._request = request_path(outbox)
        self._answer = answer_path(outbox)
        self._time = time

    async def next_request(self) -> Request | None:
        """The request that waits, if there is a good one. One that is not is thrown away."""
        return await asyncio.to_thread(self._next_request)

    async def answer(self, answer: Answer) -> None:
        """Let whoever asked know."""
        await asyncio.to_thread(self._put, answer)

    def _next_request(self) -> Request | None:
        try:
            with self._request.open("rb") as file:
                request = msgspec.json.decode(file.read(_LARGEST_BYTES), type=Request)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("a request for a release cannot be read: %s: %s", self._request, error)
            self._throw_away()
            return None
        if not self._is_fresh(request):
            _log.warning("a request for a release by %s is too old", request.who)
            self._throw_away()
            return None
        return request

    def _is_fresh(self, request: Request) -> bool:
        age_s = self._time.monotonic() - request.uptime
        return request.boot_id == self._time.boot_id and 0 <= age_s <= GOOD_FOR_S

    def _put(self, answer: Answer) -> None:
        self._throw_away()
        try:
            write_private(self._answer, msgspec.json.encode(answer), replace=True)
        except OSError as error:
            _log.warning("the answer to a request for a release cannot be written: %s", error)

    def _throw_away(self) -> None:
        try:
            remove(self._request)
        except OSError as error:
            _log.warning("a request for a release cannot be removed: %s", error)
