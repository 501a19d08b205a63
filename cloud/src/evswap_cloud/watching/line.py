"""The way to a client: API Gateway's management of connections."""

from collections.abc import Callable
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from evswap_cloud.aws import error_code
from evswap_cloud.errors import LineError, LineGone


class Line(Protocol):
    """Sends to connections. ``endpoint`` is where the API manages them."""

    def send(self, endpoint: str, connection_id: str, frame: bytes) -> None:
        """Raises ``LineGone`` where the client has left, ``LineError`` where it could not be sent."""

    def close(self, endpoint: str, connection_id: str) -> None:
        """Also where the client has left already. Raises ``LineError``."""


class ApiGatewayLine:
    """``connect`` makes the client ``apigatewaymanagementapi`` for an endpoint; each is made once."""

    def __init__(self, connect: Callable[[str], Any]) -> None:
        self._connect = connect
        self._clients: dict[str, Any] = {}

    def send(self, endpoint: str, connection_id: str, frame: bytes) -> None:
        try:
            self._client(endpoint).post_to_connection(ConnectionId=connection_id, Data=frame)
        except (ClientError, BotoCoreError) as error:
            raise _failed("send to", connection_id, error) from error

    def close(self, endpoint: str, connection_id: str) -> None:
        try:
            self._client(endpoint).delete_connection(ConnectionId=connection_id)
        except (ClientError, BotoCoreError) as error:
            failed = _failed("close", connection_id, error)
            if not isinstance(failed, LineGone):
                raise failed from error

    def _client(self, endpoint: str) -> Any:
        if endpoint not in self._clients:
            self._clients[endpoint] = self._connect(endpoint)
        return self._clients[endpoint]


def _failed(operation: str, connection_id: str, error: ClientError | BotoCoreError) -> LineError:
    code = error_code(error)
    kind = LineGone if code in {"GoneException", "410"} else LineError
    return kind(operation=operation, target=connection_id, code=code)
