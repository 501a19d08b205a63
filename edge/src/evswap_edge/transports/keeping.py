"""What the transports share that keep a link by a task of their own."""

import asyncio

from evswap_edge.transports import NotConnected


async def until_up(keeper: asyncio.Task[None], up: asyncio.Event) -> None:
    """Return when ``up`` is set. Raises what has ended ``keeper``, and ``NotConnected`` when it was
    cancelled."""
    waiting = asyncio.create_task(up.wait(), name="wait for link")
    try:
        await asyncio.wait({keeper, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    if keeper.cancelled():
        raise NotConnected("closed meanwhile")
    if keeper.done():
        keeper.result()
