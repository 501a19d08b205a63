"""What a process gives its stations beside their work: figures for Prometheus, and word to systemd."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from evswap_edge.clock import TimeSource
from evswap_edge.config import MetricsEndpoint
from evswap_edge.lean import with_openssl
from evswap_edge.watchdog import Systemd, keep_informed

if TYPE_CHECKING:
    from evswap_edge.app import Show


class MetricsUnavailable(Exception):
    """Nobody can be served at ``host``:``port``."""

    def __init__(self, *, host: str, port: int, reason: str) -> None:
        self.host = host
        self.port = port
        self.reason = reason
        super().__init__(
            f"metrics cannot be served at {host}:{port}: {reason}; choose another metrics.port, or leave"
            " the section out"
        )


@contextmanager
def shown_at(endpoint: MetricsEndpoint | None) -> Iterator["Show"]:
    """Serve the figures of the stations at ``endpoint``. Where there is none, nobody looks, and nothing is
    loaded for it. Raises ``MetricsUnavailable``."""
    if endpoint is None:
        yield nullcontext
        return
    with_openssl()  # prometheus_client imports it
    from evswap_edge.metrics import Board, served

    board = Board()
    with ExitStack() as serving:
        try:
            serving.enter_context(served(board, host=endpoint.host, port=endpoint.port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise MetricsUnavailable(host=endpoint.host, port=endpoint.port, reason=reason) from error
        yield board.showing


@asynccontextmanager
async def systemd_informed(
    time: TimeSource,
    stop: asyncio.Event,
    *,
    begun: asyncio.Event,
    healthy: Callable[[], bool],
    trouble: Callable[[], str | None] = lambda: None,
) -> AsyncIterator[None]:
    """Keep systemd informed, as ``watchdog.keep_informed`` says, for as long as the context lasts."""
    informing = asyncio.create_task(
        keep_informed(Systemd.of_this_process(), time, stop, begun=begun, healthy=healthy, trouble=trouble),
        name="systemd",
    )
    try:
        yield
    finally:
        informing.cancel()
        await asyncio.wait({informing})
