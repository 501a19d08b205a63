"""Certificate and key as a link shows them. They may be replaced at any time, so they are looked at anew
before each use; and what is wrong with them ends nothing: it is told once, and looked at again.

A station whose certificate has expired or was revoked has customers all the same. It samples on, and what it
has sampled is sent when somebody, or the renewal, has put other files in the place of these.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from evswap_edge.transports import Caller, CredentialsError
from evswap_edge.transports.broker import BrokerSettings, checked
from evswap_edge.transports.credentials import contents

SettingsT = TypeVar("SettingsT", bound=BrokerSettings)
ContextT = TypeVar("ContextT")
SeenT = TypeVar("SeenT")

LOOK_AGAIN_S: Final = 10.0
"""While something is wrong with them; the half of it at least, at random."""
SETTLE_S: Final = 2.0
"""Whoever puts other files there does it one after the other, and between the two they are no pair. So other
files than before that are of no use are looked at once more, this much later, before it is said."""

_log: Final = logging.getLogger(__name__)


class Identity(Generic[SettingsT, ContextT]):
    """Who a station is to its broker."""

    def __init__(
        self, settings: SettingsT, caller: Caller, tls_context: Callable[[SettingsT], ContextT]
    ) -> None:
        """``tls_context`` makes of the files what TLS wants, and raises ``CredentialsError``."""
        self._settings = settings
        self._caller = caller
        self._tls_context = tls_context
        self._shown: int | None = None
        """Stands for what the files held when ``context`` took them in."""
        self._refused: int | None = None
        """The same for those that the far side has refused."""
        self._seen: int | None = None
        """The same for those that were looked at last, of use or not."""
        self._doubt: str | None = None
        self._was_told = False
        self.problem: CredentialsError | None = None
        """What is wrong; None while nothing is, as far as is known."""

    async def context(self) -> ContextT:
        """What TLS makes of the files as they are now. Raises ``CredentialsError``, and has told it."""
        doubt, self._shown, context = await self._settled(self._take_in)
        self._say(doubt)
        if self.problem is not None and self._shown != self._refused:
            self._tell(None)
        return context

    async def was_replaced(self) -> bool:
        """Whether the files hold something else than they did for the last ``context``. Raises
        ``CredentialsError``, and has told it, when they cannot be used any more."""
        _, held = await self._settled(self._look)
        return held != self._shown

    def refused(self, reason: str) -> None:
        """The far side does not take what was shown to it."""
        if self._refused != self._shown:
            self._refused = self._shown
            self._tell(CredentialsError(self._settings.certificate_file, reason))

    def accepted(self) -> None:
        """The far side has taken what was shown to it."""
        self._refused = None
        self._tell(None)

    def next_look_s(self) -> float:
        """The seconds to wait while something is wrong."""
        return random.uniform(LOOK_AGAIN_S / 2, LOOK_AGAIN_S)  # noqa: S311 - jitter, not a secret

    async def _settled(self, look: Callable[[], SeenT]) -> SeenT:
        """What a look at the files gives, which nobody is replacing meanwhile. Raises ``CredentialsError``,
        and has told it."""
        while True:
            before = await asyncio.to_thread(self._held)
            try:
                seen = await asyncio.to_thread(look)
            except CredentialsError as error:
                now = await asyncio.to_thread(self._held)
                are_as_they_were, self._seen = self._seen in (None, now), now
                if are_as_they_were:
                    self._tell(error)
                    raise
                await asyncio.sleep(SETTLE_S)
            else:
                self._seen = before
                return seen

    def _take_in(self) -> tuple[str | None, int, ContextT]:
        doubt, held = self._look()
        return doubt, held, self._tls_context(self._settings)

    def _look(self) -> tuple[str | None, int]:
        """What is doubtful, and what stands for what the files hold."""
        doubt = checked(self._settings, self._caller.time)
        return doubt, self._held()

    def _held(self) -> int:
        """Stands for what the files hold; also of those that cannot be read."""
        settings = self._settings
        files = (settings.certificate_file, settings.key_file, settings.ca_file)
        return hash(tuple(_contents_or_none(path) for path in files if path is not None))

    def _say(self, doubt: str | None) -> None:
        if doubt is not None and doubt != self._doubt:
            _log.warning("%s", doubt)
        self._doubt = doubt

    def _tell(self, problem: CredentialsError | None) -> None:
        if self._was_told and str(problem) == str(self.problem):
            return
        if problem is not None:
            _log.error(
                "nothing can be sent: %s (this is looked at again and again; samples are kept meanwhile)",
                problem,
                extra={"file": str(problem.path)},
            )
        elif self.problem is not None:
            _log.info("nothing is wrong any more with certificate and key")
        self.problem, self._was_told = problem, True
        self._caller.on_credentials(problem)


def _contents_or_none(path: Path) -> bytes | None:
    try:
        return contents(path)
    except CredentialsError:
        return None
