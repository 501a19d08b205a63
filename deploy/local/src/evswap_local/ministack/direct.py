"""Rules that invoke a function without a queue between them, as AWS does it.

ministack 1.5.33 starts a thread for each message, and with it a worker process for each that finds the others
at work, up to the function's reserved concurrency; what comes beyond that is refused and lost, and what fails
is not tried again. Here the calls of a function wait for each other in memory, and one that fails is tried
again as often as the function says, then left at its on-failure destination. What waits at a stop is lost.
"""

import importlib
import logging
import queue
import threading
import time
from dataclasses import dataclass
from typing import Any

MOST_WAITING = 10_000
"""Calls of one function: some minutes of a fleet of a thousand stations."""

RETRY_S = 1.0
"""On AWS a minute, which nobody at a laptop waits for."""

UNRESERVED = 2
"""Workers of a function that reserves none."""


def invoke_functions_as_aws_does() -> None:
    """Replaces what carries out a rule's Lambda action."""
    iot: Any = importlib.import_module("ministack.services.iot")
    functions: Any = importlib.import_module("ministack.services.lambda_svc")
    lanes: dict[tuple[str, int], _Lane] = {}

    def dispatch(account_id: str, region: str, function_arn: str, event: Any) -> None:
        """Runs on the event loop; what it raises goes to the rule's error action."""

        def found(reference: str) -> tuple[Any, Any, str]:
            record: tuple[Any, Any, str] = functions._get_func_record_for_ref_in_scope(
                reference, account_id=account_id, region=region
            )
            return record

        function, config, name = found(function_arn)
        if not function or not config:
            raise LookupError(f"there is no function {function_arn}")
        primary, _config, _name = found(name)
        key = (function_arn, primary.get("concurrency") or UNRESERVED)
        if key not in lanes:
            lanes[key] = _Lane(workers=key[1])
        record = functions._execution_record_for_config(function, config)
        qualifier = function_arn.partition(f":function:{name}:")[2] or None
        settings = functions._event_invoke_config(primary, qualifier) or {}
        scope = iot.request_scope, account_id, region
        lanes[key].put(_Call(functions, scope, name, record, settings, event))

    iot._dispatch_rule_to_lambda = dispatch


@dataclass(frozen=True)
class _Call:
    """One call of the function ``name``, with what ministack knows of it."""

    functions: Any
    scope: tuple[Any, str, str]
    name: str
    record: dict[str, Any]
    settings: dict[str, Any]
    event: Any

    def carry_out(self) -> None:
        """Until it succeeds, or has been tried as often as it may."""
        result: dict[str, Any] = {}
        for attempt in range(self.settings.get("MaximumRetryAttempts", 2) + 1):
            if attempt:
                time.sleep(RETRY_S)
            result = self.functions._execute_function_with_config_scope(self.record, self.event)
            if not result.get("error"):
                return
        self._leave(result)

    def _leave(self, result: dict[str, Any]) -> None:
        destination = self.settings.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        request_scope, account_id, region = self.scope
        if destination:
            with request_scope(account_id, region):
                self.functions._route_async_failure(destination, self.name, self.event, result)


class _Lane:
    """The calls of one function, of which ``workers`` run at once. Its threads end with the process."""

    def __init__(self, workers: int) -> None:
        self._waiting: queue.Queue[_Call] = queue.Queue(MOST_WAITING)
        for _ in range(workers):
            threading.Thread(target=self._work, daemon=True, name="evswap-direct").start()

    def put(self, call: _Call) -> None:
        """Raises queue.Full."""
        self._waiting.put_nowait(call)

    def _work(self) -> None:
        while True:
            call = self._waiting.get()
            try:
                call.carry_out()
            except Exception:
                logging.getLogger("evswap").exception("a call of %s could not be carried out", call.name)
