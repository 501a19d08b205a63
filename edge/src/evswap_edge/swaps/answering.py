"""Calls into a driver, which is foreign code: it may fail in its own way, or never answer."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from evswap_edge.hal import DriverError

ResultT = TypeVar("ResultT")


async def answer_within(seconds: float, call: Coroutine[Any, Any, ResultT]) -> ResultT:
    """What the hardware answers to ``call``. Whatever goes wrong in a driver is a ``DriverError``."""
    answer = asyncio.create_task(call)
    try:
        await asyncio.wait({answer}, timeout=seconds)
    finally:
        if not answer.done():
            _give_up(answer)
    if not answer.done() or answer.cancelled():
        raise DriverError(f"no answer within {seconds:g} s")
    error = answer.exception()
    if error is None or isinstance(error, DriverError):
        return answer.result()
    raise DriverError(f"the driver failed: {error!r}") from error


def _give_up(answer: "asyncio.Task[Any]") -> None:
    """It ends whenever it does; nobody waits for it."""
    answer.cancel()
    answer.add_done_callback(lambda late: late.cancelled() or late.exception())
