"""Keeping ministack's state: at shutdown without losing what was acknowledged, and from time to time.

ministack writes its state once, at shutdown, before it closes the MQTT listener, while functions still run:
a message acknowledged in between, or an effect after its table was written, would be lost. ``quiesce``
stops the intake first.

S3 objects are on disk at once. Everything else is in memory between two snapshots, so a ``kill -9`` of
ministack itself loses what came after the last one (queued messages, latest states). A clean stop loses
nothing.
"""

import asyncio
import importlib
import threading
import time
from typing import Any

_SAVING = threading.Lock()
"""Two at once would write the same temporary files; a save that was begun cannot be cancelled."""

INVOCATIONS_KEPT = 1000
"""Invocations whose log lines are kept, for each function."""


async def quiesce(deadline_s: float) -> None:
    """Closes the MQTT listener, stops feeding functions from queues, and waits for the batches under way.

    A batch that has not ended after ``deadline_s`` seconds stays in its queue and is delivered again later.
    """
    functions: Any = importlib.import_module("ministack.services.lambda_svc")
    await importlib.import_module("ministack.services.iot").mtls_stop()
    for poll in ("_poll_sqs", "_poll_kinesis", "_poll_dynamodb_streams"):
        setattr(functions, poll, _nothing_to_do)
    deadline = time.monotonic() + deadline_s
    while functions._esm_inflight and time.monotonic() < deadline:
        await asyncio.sleep(0.05)


async def save_every(interval_s: float) -> None:
    """Saves all state each ``interval_s`` seconds, until cancelled."""
    while True:
        await asyncio.sleep(interval_s)
        await asyncio.to_thread(trim_logs)
        await asyncio.to_thread(save)


def save() -> None:
    """Writes the state of every service in use, each file replaced whole."""
    application: Any = importlib.import_module("ministack.app")
    with _SAVING:
        application.save_all(application._build_persistence_save_dict())


def trim_logs(keep: int = INVOCATIONS_KEPT) -> None:
    """Forgets the oldest log streams of each group: ministack makes one an invocation and keeps them all."""
    groups: Any = importlib.import_module("ministack.services.cloudwatch_logs")._log_groups
    for group in list(groups._data.values()):
        streams: dict[str, object] = group["streams"]
        for name in list(streams)[:-keep]:
            streams.pop(name, None)


def _nothing_to_do() -> bool:
    return False
