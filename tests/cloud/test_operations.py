"""Going back to the code before, and the way that a smoke test takes, against doubles of what AWS answers."""

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from evswap_cloud.operations.deployment import Deployment, Route
from evswap_cloud.operations.errors import NoSuchVersion, NothingDeployed, NotOperated, SmokeFailure
from evswap_cloud.operations.rollback import carry_out, move_to, moves_back
from evswap_cloud.operations.smoke import API, ARCHIVED, BROKER, SHOWN, smoke
from evswap_schema import decode_reading, format_timestamp
from tests.cloud.messages import NOW

# --- rollback ---


class Functions:
    """Lambda's versions and aliases: by function, the code of each version, and the version of `live`."""

    def __init__(self, codes: dict[str, list[str]], live: dict[str, int]) -> None:
        self.codes, self.live, self.revision = codes, live, "r1"

    def get_paginator(self, operation: str) -> Any:
        def versions(*, FunctionName: str) -> list[Any]:
            numbers = [("$LATEST", "latest"), *enumerate(self.codes[FunctionName], 1)]
            made = {"LastModified": "2026-11-23T08:15:30.000+0000"}
            return [{"Versions": [{"Version": str(n), "CodeSha256": code, **made} for n, code in numbers]}]

        names = [{"FunctionName": name} for name in [*self.codes, "other-function", "evswap-scheduled"]]
        pages = {"list_functions": lambda: [{"Functions": names}], "list_versions_by_function": versions}
        return SimpleNamespace(paginate=pages[operation])

    def list_aliases(self, *, FunctionName: str) -> Any:
        return {"Aliases": [{"Name": "live"}] if FunctionName in self.live else []}

    def get_alias(self, *, FunctionName: str, Name: str) -> Any:
        return {"FunctionVersion": str(self.live[FunctionName]), "RevisionId": self.revision}

    def update_alias(self, *, FunctionName: str, Name: str, FunctionVersion: str, RevisionId: str) -> None:
        if RevisionId != self.revision:
            raise ClientError({"Error": {"Code": "PreconditionFailedException"}}, "UpdateAlias")
        self.live[FunctionName] = int(FunctionVersion)


def deployed(functions: Functions, prefix: str = "evswap") -> Deployment:
    return Deployment(SimpleNamespace(functions=functions), prefix)


@pytest.fixture
def functions() -> Functions:
    """`api` has changed a setting since its code did; `bulk` has only ever had one code."""
    return Functions(
        {"evswap-api": ["a", "b", "b"], "evswap-bulk": ["b", "b"]}, {"evswap-api": 3, "evswap-bulk": 2}
    )


def test_every_function_goes_back_to_the_code_before_its_own(functions: Functions) -> None:
    deployment = deployed(functions)
    moves = moves_back(deployment)
    assert [(move.function, move.before, move.after) for move in moves] == [
        ("evswap-api", 3, 1),
        ("evswap-bulk", 2, 2),
    ]
    assert [move.function for move in carry_out(deployment, moves)] == ["evswap-api"]
    assert functions.live == {"evswap-api": 1, "evswap-bulk": 2}
    assert not any(move.is_one for move in moves_back(deployment)), "there is nothing before it"


def test_one_function_goes_where_it_is_told_also_forward(functions: Functions) -> None:
    deployment = deployed(functions)
    list(carry_out(deployment, [move_to(deployment, "evswap-api", 2)]))
    assert functions.live["evswap-api"] == 2
    list(carry_out(deployment, [move_to(deployment, "evswap-api", 3)]))
    assert functions.live["evswap-api"] == 3
    with pytest.raises(NoSuchVersion, match="has no version 9"):
        move_to(deployment, "evswap-api", 9)


def test_an_alias_that_somebody_else_moves_is_left_to_him(functions: Functions) -> None:
    moves = moves_back(deployed(functions))
    functions.revision = "r2"
    with pytest.raises(NotOperated, match="PreconditionFailed"):
        list(carry_out(deployed(functions), moves))


def test_where_nothing_has_the_prefix_that_is_said(functions: Functions) -> None:
    with pytest.raises(NothingDeployed, match="nothing here is called staging-"):
        moves_back(deployed(functions, "staging"))


def test_a_route_takes_its_own_topics() -> None:
    route = Route(
        rule="r",
        topic_filter="ev/station/+/telemetry",
        queue_url="q",
        function_arn=None,
        error_queue_url=None,
    )
    assert route.takes("ev/station/a/telemetry")
    assert not route.takes("ev/station/a/telemetry/batch")
    assert not route.takes("ev/station/a/events")


# --- smoke ---


class Cloud:
    """A deployment that does as a test says; it shows a reading at the third look."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.looks = 0
        self.fails_at: str | None = None

    def publish(self, topic: str, payload: bytes) -> None:
        if self.fails_at == BROKER:
            raise SmokeFailure(step=BROKER, problem="refused")
        assert topic == "ev/station/smoke/telemetry"
        self.sent.append(payload)

    def get(self, path: str) -> tuple[int, Any]:
        if path == "/stations?limit=1":
            return (503, None) if self.fails_at == API else (200, {})
        self.looks += 1
        if self.looks < 3 or self.fails_at == SHOWN:
            return 404, None
        return 200, {"timestamp": format_timestamp(decode_reading(self.sent[-1]).timestamp)}

    def head_object(self, *, Bucket: str, Key: str) -> None:
        if self.fails_at == ARCHIVED:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "HeadObject")
        assert (Bucket, Key.split("/", maxsplit=1)[0]) == ("archive", "telemetry")


def steps_of(cloud: Cloud, *, now: datetime = NOW) -> list[str]:
    taken = smoke(
        station_id="smoke",
        api=cloud,  # type: ignore[arg-type]
        publisher=cloud,
        now=lambda: now,
        archive=(cloud, "archive"),  # type: ignore[arg-type]
        deadline_s=1,
    )
    return [step.name for step in taken]


def test_each_step_is_taken_in_its_turn() -> None:
    cloud = Cloud()
    assert steps_of(cloud) == [API, BROKER, SHOWN, ARCHIVED]
    assert cloud.looks == 3


@pytest.mark.parametrize("step", [API, BROKER, SHOWN, ARCHIVED])
def test_the_step_that_fails_is_named(step: str) -> None:
    cloud = Cloud()
    cloud.fails_at = step
    with pytest.raises(SmokeFailure, match=step):
        steps_of(cloud)


def test_an_older_reading_is_not_taken_for_the_one_that_was_sent() -> None:
    cloud = Cloud()
    older = Cloud()
    steps_of(older, now=NOW - timedelta(hours=1))
    cloud.get = older.get  # type: ignore[method-assign]
    with pytest.raises(SmokeFailure, match="not within 1 s"):
        steps_of(cloud)
