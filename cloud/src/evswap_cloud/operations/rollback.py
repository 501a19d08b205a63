"""Going back to the code before.

Every deployment publishes each function that it changes as a version and points the alias ``live`` at it;
rules, queues and the API call the alias. So to go back is to point it elsewhere, which takes effect with the
next call: nothing is built, uploaded or applied.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from evswap_cloud.operations.deployment import LIVE, Deployment
from evswap_cloud.operations.errors import NoSuchVersion
from evswap_cloud.operations.failing import operating

if TYPE_CHECKING:
    from types_boto3_lambda.client import LambdaClient


class Version(Struct, frozen=True, kw_only=True):
    """A published version: ``code`` is its zip's SHA-256, ``published_at`` when it was made."""

    number: int
    code: str
    published_at: str


class Move(Struct, frozen=True, kw_only=True):
    """Where the alias of a function points, and where it is to point; the same where it stays."""

    function: str
    before: int
    after: int
    revision: str

    @property
    def is_one(self) -> bool:
        """Whether it changes anything."""
        return self.before != self.after


def moves_back(deployment: Deployment, functions: Sequence[str] = ()) -> tuple[Move, ...]:
    """For each function (``functions``, else all that have the alias), back to the newest version before
    whose code is another: one that changed settings alone is none. Without one it stays.

    Raises ``NothingDeployed``, ``NoSuchVersion``, ``NotOperated``."""
    return tuple(_move_back(deployment, name) for name in functions or behind_alias(deployment))


def behind_alias(deployment: Deployment) -> tuple[str, ...]:
    """The functions that have the alias; what a schedule alone calls may do without. Raises
    ``NothingDeployed``, ``NotOperated``."""
    return tuple(name for name in deployment.function_names() if _has_alias(deployment, name))


def _has_alias(deployment: Deployment, function: str) -> bool:
    with operating("list", f"aliases of {function}"):
        found = deployment.clients.functions.list_aliases(FunctionName=function)["Aliases"]
    return any(alias["Name"] == LIVE for alias in found)


def move_to(deployment: Deployment, function: str, number: int) -> Move:
    """To one version, older or newer; raises ``NoSuchVersion``, ``NotOperated``."""
    before, revision = _alias(deployment.clients.functions, function)
    if number not in {version.number for version in versions(deployment, function)}:
        raise NoSuchVersion(function=function, version=str(number))
    return Move(function=function, before=before, after=number, revision=revision)


def carry_out(deployment: Deployment, moves: Iterable[Move]) -> Iterator[Move]:
    """Point the aliases, each unless somebody else has moved it meanwhile; raises ``NotOperated``."""
    for move in moves:
        if move.is_one:
            with operating("roll back", move.function):
                deployment.clients.functions.update_alias(
                    FunctionName=move.function,
                    Name=LIVE,
                    FunctionVersion=str(move.after),
                    RevisionId=move.revision,
                )
            yield move


def live_version(deployment: Deployment, function: str) -> int:
    """The version that ``function`` works with; raises ``NotOperated``."""
    return _alias(deployment.clients.functions, function)[0]


def versions(deployment: Deployment, function: str) -> tuple[Version, ...]:
    """What was published of ``function``, the oldest first; raises ``NotOperated``."""
    with operating("list", f"versions of {function}"):
        pages = deployment.clients.functions.get_paginator("list_versions_by_function").paginate(
            FunctionName=function
        )
        found = [one for page in pages for one in page["Versions"] if one["Version"].isdigit()]
    return tuple(
        sorted(
            (
                Version(number=int(one["Version"]), code=one["CodeSha256"], published_at=one["LastModified"])
                for one in found
            ),
            key=lambda version: version.number,
        )
    )


def _move_back(deployment: Deployment, function: str) -> Move:
    before, revision = _alias(deployment.clients.functions, function)
    published = {version.number: version for version in versions(deployment, function)}
    if before not in published:
        raise NoSuchVersion(function=function, version=str(before))
    others = [
        version.number
        for version in published.values()
        if version.number < before and version.code != published[before].code
    ]
    return Move(function=function, before=before, after=max(others, default=before), revision=revision)


def _alias(functions: "LambdaClient", function: str) -> tuple[int, str]:
    """The version that the function works with, and the alias's revision."""
    with operating("read", f"{function}:{LIVE}"):
        found = functions.get_alias(FunctionName=function, Name=LIVE)
    return int(found["FunctionVersion"]), found["RevisionId"]
