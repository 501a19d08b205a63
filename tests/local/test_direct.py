"""A rule that invokes a function: calls wait for each other, are tried again, and are left somewhere."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from evswap_hil.deadline import wait_until
from evswap_local.ministack import direct

ARN = "arn:aws:lambda:us-east-1:000000000000:function:evswap-change"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:evswap-change-failures"


class Ministack:
    """The parts of ministack that are called, with a function that a test holds up or lets fail."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {
            "MaximumRetryAttempts": 1,
            "DestinationConfig": {"OnFailure": {"Destination": QUEUE}},
        }
        self.begun: list[Any] = []
        self.at_once = self.most_at_once = 0
        self.failing: set[Any] = set()
        self.left: list[tuple[str, Any]] = []
        self.go_on = threading.Event()
        self._lock = threading.Lock()

    def find(self, reference: str, *, account_id: str, region: str) -> tuple[Any, Any, str]:
        found = reference in (ARN, "evswap-change")
        return ({"concurrency": 2}, {"FunctionArn": ARN}, "evswap-change") if found else (None, None, "")

    def execute(self, _record: Any, event: Any) -> dict[str, Any]:
        with self._lock:
            self.begun.append(event)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.go_on.wait(30)
        with self._lock:
            self.at_once -= 1
        return {"error": event in self.failing}

    @contextmanager
    def scope(self, *_: str) -> Iterator[None]:
        yield


@pytest.fixture
def ministack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ministack]:
    double = Ministack()
    functions = SimpleNamespace(
        _get_func_record_for_ref_in_scope=double.find,
        _execution_record_for_config=lambda function, config: function | {"config": config},
        _event_invoke_config=lambda _function, _qualifier: double.settings,
        _execute_function_with_config_scope=double.execute,
        _route_async_failure=lambda target, _name, event, _result: double.left.append((target, event)),
    )
    monkeypatch.setitem(sys.modules, "ministack.services.iot", SimpleNamespace(request_scope=double.scope))
    monkeypatch.setitem(sys.modules, "ministack.services.lambda_svc", functions)
    monkeypatch.setattr(direct, "RETRY_S", 0.0)
    direct.invoke_functions_as_aws_does()
    yield double
    double.go_on.set()


def publish(event: Any, arn: str = ARN) -> None:
    iot: Any = sys.modules["ministack.services.iot"]
    iot._dispatch_rule_to_lambda("000000000000", "us-east-1", arn, event)


def test_no_more_run_at_once_than_the_function_reserves_and_all_run(ministack: Ministack) -> None:
    for number in range(20):
        publish(number)
    wait_until(lambda: len(ministack.begun) == 2, what="two calls at work", within=90)
    ministack.go_on.set()
    wait_until(lambda: len(ministack.begun) == 20, what="all calls", within=90)
    assert sorted(ministack.begun) == list(range(20))
    assert ministack.most_at_once == 2


def test_what_fails_is_tried_as_often_as_the_function_says_then_left(ministack: Ministack) -> None:
    ministack.failing = {"bad"}
    ministack.go_on.set()
    for event in ("bad", "good"):
        publish(event)
    wait_until(lambda: ministack.left, what="the failure's end", within=90)
    assert ministack.left == [(QUEUE, "bad")]
    assert sorted(ministack.begun) == ["bad", "bad", "good"]


def test_a_function_without_a_destination_loses_it_and_goes_on(ministack: Ministack) -> None:
    ministack.settings = {"MaximumRetryAttempts": 0}
    ministack.failing = {"bad"}
    ministack.go_on.set()
    for event in ("bad", "bad", "bad", "good"):
        publish(event)
    wait_until(lambda: "good" in ministack.begun, what="the call after the failures", within=90)
    assert ministack.left == []


def test_a_defect_ends_no_worker(ministack: Ministack, caplog: pytest.LogCaptureFixture) -> None:
    ministack.failing = {"bad"}
    ministack.go_on.set()
    functions: Any = sys.modules["ministack.services.lambda_svc"]
    functions._route_async_failure = None
    for event in ("bad", "bad", "bad", "good"):
        publish(event)
    wait_until(lambda: "good" in ministack.begun, what="the call after the defect", within=90)
    assert "a call of evswap-change could not be carried out" in caplog.text


def test_a_function_that_is_not_there_is_the_rules_error(ministack: Ministack) -> None:
    with pytest.raises(LookupError, match="evswap-gone"):
        publish("event", ARN.replace("evswap-change", "evswap-gone"))
