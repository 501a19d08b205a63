"""What a command says while it works: one line a step, and a line that changes while something is awaited."""

import sys
from collections import Counter
from collections.abc import Iterable

from evswap_local.stack.change import Change, Outcome


class Progress:
    """Writes to stderr: stdout is for results."""

    def __init__(self) -> None:
        self._open = False
        self._last = ""

    def step(self, text: str) -> None:
        """A step begins or has ended."""
        self._close()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def count(self, text: str) -> None:
        """The state of something that is awaited: in place on a terminal, else a line when it changes."""
        if text == self._last:
            return
        self._last = text
        if sys.stderr.isatty():
            self._open = True
            sys.stderr.write(f"\r\033[K{text}")
        else:
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def changes(self, subject: str, changes: Iterable[Change]) -> bool:
        """Names each change as it is made, then the sum; whether there was any."""
        outcomes: Counter[Outcome] = Counter()
        for change in changes:
            outcomes[change.outcome] += 1
            if change.outcome is not Outcome.UNCHANGED:
                self.count(f"  {change.outcome} {change.kind} {change.name}")
        self._close()
        self.step(f"{subject}: {', '.join(f'{outcomes[each]} {each}' for each in Outcome if outcomes[each])}")
        return any(outcomes[each] for each in Outcome if each is not Outcome.UNCHANGED)

    def _close(self) -> None:
        if self._open:
            sys.stderr.write("\n")
            self._open = False
