"""Report a trouble once when it begins and once when it ends, however often it is seen in between."""

import logging
from collections.abc import Callable


class Episode:
    """One kind of trouble (a sensor, the link, the disk) that may come and go.

    While it lasts, repetitions are counted and not logged: a sensor that is dead for a week writes two lines.
    """

    def __init__(self, logger: logging.Logger, subject: str, *, monotonic: Callable[[], float]) -> None:
        self._logger = logger
        self._subject = subject
        self._monotonic = monotonic
        self._since: float | None = None
        self._count = 0

    @property
    def ongoing(self) -> bool:
        return self._since is not None

    def begin(self, reason: object) -> None:
        """The trouble was seen, with ``reason``; only the first time of an episode is logged."""
        self._count += 1
        if self._since is None:
            self._since = self._monotonic()
            self._logger.warning("%s: %s", self._subject, reason, extra={"subject": self._subject})

    def end(self) -> None:
        """All is well; logged when it was not before."""
        if self._since is None:
            return
        lasted_s = round(self._monotonic() - self._since, 3)
        self._logger.info(
            "%s: works again after %s s",
            self._subject,
            lasted_s,
            extra={"subject": self._subject, "lasted_s": lasted_s, "failures": self._count},
        )
        self._since = None
        self._count = 0
