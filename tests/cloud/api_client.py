"""Asks the API's function as API Gateway does."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from evswap_cloud.api.app import build_app
from evswap_cloud.api.sources import Sources
from evswap_cloud.connection.figures import FiguresStore
from evswap_cloud.events import EventReader
from evswap_cloud.history import HistoryReader
from evswap_cloud.ledger import BatteryReader, LedgerReader
from evswap_cloud.ledger.shelves import MemoryShelf
from evswap_cloud.memory import MemoryEvents, MemoryFigures, MemoryHistory, MemoryLatestStates
from evswap_cloud.remote import CommandReader
from evswap_cloud.remote.memory import MemoryCommands
from tests.cloud.logs import Log
from tests.cloud.messages import NOW

EVENT: dict[str, Any] = json.loads((Path(__file__).parent / "events" / "get_stations.json").read_text())


def event_of(path: str, query: Mapping[str, str]) -> dict[str, Any]:
    """What API Gateway makes of a GET."""
    return EVENT | {
        "path": path,
        "queryStringParameters": dict(query) or None,
        "multiValueQueryStringParameters": {name: [text] for name, text in query.items()} or None,
    }


class Client:
    """One that has asked nothing yet; ``log`` is what the function wrote."""

    def __init__(
        self,
        latest: MemoryLatestStates,
        events: EventReader | None = None,
        batteries: BatteryReader | None = None,
        history: HistoryReader | None = None,
        commands: CommandReader | None = None,
        figures: FiguresStore | None = None,
        now: datetime = NOW,
    ) -> None:
        self.log = Log()
        self.latest = latest
        sources = Sources(
            latest=latest,
            places=latest,
            events=events or MemoryEvents(),
            history=history or MemoryHistory(),
            batteries=batteries or LedgerReader(MemoryShelf(), MemoryShelf()),
            commands=commands or MemoryCommands(),
            figures=figures or MemoryFigures(),
            now=lambda: now,
        )
        self._app = build_app(sources, self.log.logger)

    def request(self, path: str, method: str = "GET", **query: str) -> SimpleNamespace:
        return self.request_with({}, path, method, **query)

    def request_with(
        self, headers: Mapping[str, str], path: str, method: str = "GET", **query: str
    ) -> SimpleNamespace:
        event = event_of(path, query) | {"headers": EVENT["headers"] | headers, "httpMethod": method}
        answer = self._app.resolve(event, SimpleNamespace())  # type: ignore[arg-type]
        headers = {name: values[0] for name, values in answer["multiValueHeaders"].items()}
        body = json.loads(answer["body"]) if answer["body"] else None
        return SimpleNamespace(status=answer["statusCode"], headers=headers, body=body, text=answer["body"])
