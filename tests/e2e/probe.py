"""A function that does as it is told, with the role of another: what AWS answers, that one would be answered.

`ask` runs inside the local AWS, in a zip of its own; nothing of ours is beside it there.
"""

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ALLOWED = "allowed"


@dataclass(frozen=True)
class Call:
    """One AWS call, as boto3 names it."""

    service: str
    operation: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        subject = next(iter(self.arguments.values()), "")
        return f"{self.service}:{self.operation} {subject} {self.arguments.get('Key', '')}".strip()


class Probe:
    """The role of a function, for trying what it lets through."""

    def __init__(self, functions: Any, name: str) -> None:
        self._functions = functions
        self._name = name

    def answers(self, calls: Sequence[Call]) -> dict[str, str]:
        """What AWS says to each: `allowed`, or the code of its error."""
        payload = json.dumps({"calls": [asdict(call) for call in calls]}).encode()
        answer = self._functions.invoke(FunctionName=self._name, Payload=payload)
        body = answer["Payload"].read()
        assert "FunctionError" not in answer, body.decode()
        return dict(zip(map(str, calls), json.loads(body), strict=True))


@contextmanager
def probe(functions: Any, of: str) -> Iterator[Probe]:
    """A probe with the role of the function `of`; gone afterwards."""
    original = functions.get_function_configuration(FunctionName=of)
    name = f"{of}-probe"
    functions.create_function(
        FunctionName=name,
        Runtime=original["Runtime"],
        Role=original["Role"],
        Handler="probe.ask",
        Timeout=60,
        Code={"ZipFile": _zip()},
    )
    try:
        yield Probe(functions, name)
    finally:
        functions.delete_function(FunctionName=name)


def ask(event: dict[str, Any], _context: object) -> list[str]:
    """The handler."""
    import boto3
    from botocore.exceptions import ClientError

    def answer(call: dict[str, Any]) -> str:
        client = boto3.client(call["service"])
        try:
            getattr(client, call["operation"])(**call["arguments"])
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ALLOWED

    return [answer(call) for call in event["calls"]]


def _zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("probe.py", Path(__file__).read_text(encoding="utf-8"))
    return content.getvalue()
