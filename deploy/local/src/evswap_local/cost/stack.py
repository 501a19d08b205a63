"""What cloud/stack says that costs money, as it counts on AWS."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from evswap_local.stack.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReader:
    """A function behind a queue: ``pollers`` gather its records for ``window_s`` each, ``most`` at most."""

    pollers: int
    window_s: float
    most: int

    def invocations(self, records: float, seconds: float) -> float:
        """How often it is called: each poller gathers by itself. No more often than there are records."""
        return min(records, max(records / self.most, self.pollers * seconds / max(self.window_s, 1.0)))


class Stack:
    """The stack's data, without what holds on one machine only."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.functions: Mapping[str, Any] = self._read("functions.yaml")["functions"]
        self.tables = self._read("tables.yaml")

    def memory_mb(self, function: str) -> int:
        """What the function has."""
        return int(self.functions[function]["memory_mb"])

    def reader(self, function: str) -> QueueReader:
        """How the function's queue is read."""
        source = self.functions[function]["event_source"]
        return QueueReader(
            pollers=source["maximum_concurrency"], window_s=source["window_s"], most=source["batch_size"]
        )

    def environment(self, function: str) -> Mapping[str, str]:
        """What the function is told."""
        told: Mapping[str, str] = self.functions[function]["environment"]
        return told

    @property
    def queues_read(self) -> int:
        """Queues that are asked all the time."""
        return sum(self._pollers(function) > 0 for function in self.functions.values())

    @property
    def pollers(self) -> int:
        """Of all queues together."""
        return sum(map(self._pollers, self.functions.values()))

    @property
    def push_window_s(self) -> float:
        """What happens meanwhile becomes one frame to each live page."""
        return float(self._read("live.yaml")["feed"]["window_s"])

    @property
    def alarm_metrics(self) -> int:
        """What CloudWatch bills: each metric of each alarm of each of its subjects."""
        return sum(
            len(alarm["metrics"]) * len(alarm.get("only") or range(self._subjects(alarm["watches"])))
            for alarm in self._read("alarms.yaml").values()
        )

    @property
    def own_metrics(self) -> int:
        """What CloudWatch takes from logs."""
        return len(self._read("metrics.yaml"))

    def _subjects(self, watches: str) -> int:
        queues = self._read("queues.yaml")
        return {
            "function": len(self.functions),
            "table": len(self.tables),
            "queue": self.queues_read,
            "end": sum("dead_letter_queue" not in queue for queue in queues.values()),
            "rule": len(self._read("rules.yaml")),
        }.get(watches, 1)

    @staticmethod
    def _pollers(function: Mapping[str, Any]) -> int:
        return int((function.get("event_source") or {}).get("maximum_concurrency", 0))

    def _read(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = yaml.safe_load(self._source.text(name))
        return document
