"""Around every route: the request's id, HEAD, and answers that are not sent a second time."""

from collections.abc import Mapping
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from evswap_cloud.api.answers import PROBLEM_JSON, REQUEST_ID

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_TAG_BYTES: Final = 12
_REVALIDATE: Final = "no-cache"
"""Keep it, and ask each time whether it is still so."""

Answer = dict[str, Any]


class Api:
    """The routes of ``resolver`` as API Gateway calls them. Each line that is logged meanwhile has the
    request's id, which API Gateway gave it and its access log has too."""

    def __init__(self, resolver: APIGatewayRestResolver, logger: Logger) -> None:
        self._resolver = resolver
        self._logger = logger

    def resolve(self, event: Mapping[str, Any], context: "LambdaContext") -> Answer:
        """The answer to one request."""
        request_id = str(event["requestContext"]["requestId"])
        method, path = event["httpMethod"], event["path"]
        with self._logger.append_context_keys(request_id=request_id):
            answer: Answer = self._resolver.resolve(_as_get(event), context)
            if answer["statusCode"] == HTTPStatus.OK and method in {"GET", "HEAD"}:
                answer = _unless_known(answer, _header(event, "If-None-Match"))
            elif answer["multiValueHeaders"].get("Content-Type") == [PROBLEM_JSON]:
                answer["body"] = _named(answer["body"], request_id)
            self._logger.info(
                "answered", extra={"method": method, "path": path, "status": answer["statusCode"]}
            )
        answer["multiValueHeaders"][REQUEST_ID] = [request_id]
        return answer | {"body": ""} if method == "HEAD" else answer


def _as_get(event: Mapping[str, Any]) -> dict[str, Any]:
    """HEAD is GET, of which the body is left out in the end."""
    return {**event, "httpMethod": "GET" if event["httpMethod"] == "HEAD" else event["httpMethod"]}


def _named(problem: str, request_id: str) -> str:
    """With the request's id, for those who pass on the body alone."""
    return msgspec.json.encode({**msgspec.json.decode(problem), "request_id": request_id}).decode()


def _unless_known(answer: Answer, known: str) -> Answer:
    """304 where the client has this very body; the tag stands for it."""
    tag = f'"{blake2b(answer["body"].encode(), digest_size=_TAG_BYTES).hexdigest()}"'
    headers = {**answer["multiValueHeaders"], "ETag": [tag], "Cache-Control": [_REVALIDATE]}
    tags = {one.strip().removeprefix("W/") for one in known.split(",")}
    if not tags & {tag, "*"}:
        return {**answer, "multiValueHeaders": headers}
    del headers["Content-Type"]
    return {
        **answer,
        "statusCode": int(HTTPStatus.NOT_MODIFIED),
        "multiValueHeaders": headers,
        "body": "",
    }


def _header(event: Mapping[str, Any], wanted: str) -> str:
    headers: Mapping[str, str] = event.get("headers") or {}
    return next((value for name, value in headers.items() if name.lower() == wanted.lower()), "")
