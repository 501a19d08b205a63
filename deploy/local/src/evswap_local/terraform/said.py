"""What ``terraform apply -json`` says: one JSON object a line."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evswap_local.stack.change import Change, Outcome

OUTCOMES = {
    "create": Outcome.CREATED,
    "update": Outcome.UPDATED,
    "replace": Outcome.UPDATED,
    "delete": Outcome.UPDATED,
}


@dataclass
class Said:
    """Collects what matters at the end: what was looked at, what was changed, what went wrong.

    ``say`` is told what is waited for.
    """

    say: Callable[[str], None]
    seen: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)

    def take(self, line: str) -> Iterator[Change]:
        """Takes one line, and gives the change that it announces. Other text than JSON is no news."""
        event = _parsed(line)
        match event.get("type"):
            case "refresh_complete":
                self.seen.add(_address(event))
            case "apply_progress":
                self.say(f"  waiting for {_address(event)}, {event['hook']['elapsed_seconds']} s so far")
            case "apply_complete" if event["hook"]["action"] in OUTCOMES:
                yield self._changed(event)
            case "diagnostic" if event["diagnostic"]["severity"] == "error":
                self.errors.append(_sentence(event["diagnostic"]))

    def unchanged(self) -> Iterator[Change]:
        """What was looked at and left alone."""
        for address in sorted(self.seen - self.changed):
            yield Change("resource", address, Outcome.UNCHANGED)

    def _changed(self, event: dict[str, Any]) -> Change:
        address = _address(event)
        self.changed.add(address)
        return Change("resource", address, OUTCOMES[event["hook"]["action"]])


def _parsed(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _address(event: dict[str, Any]) -> str:
    return str(event["hook"]["resource"]["addr"])


def _sentence(diagnostic: dict[str, Any]) -> str:
    """Where, what and why, on one line."""
    parts = [
        diagnostic.get("address", ""),
        diagnostic["summary"],
        " ".join(diagnostic.get("detail", "").split()),
    ]
    return ": ".join(part.rstrip(".:") for part in parts if part)


def last_words(log: Path) -> list[str]:
    """What stands in a log that is no JSON from ``Error:`` on, without the frames that Terraform draws."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip("│╷╵ ") for line in text.splitlines()]
    first = next((number for number, line in enumerate(lines) if line.startswith("Error:")), len(lines) - 3)
    return [" ".join(line for line in lines[max(0, first) :][:12] if line)]
