"""What a look at the buses brings to light: a driver's own ``probing`` module has ``scan(settings)``.

It gives findings, of which each is a line as text, and raises ``DriverError`` when it cannot look at all.
Nothing is switched and nothing is written that could change a device: looking is safe at any time, except
beside a station that has the same port open.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """Something is there. ``place`` is the port, the channel or the bus; ``what`` says in words what was
    seen; ``configure`` is how station.yaml would name it, where that is known."""

    place: str
    what: str
    configure: str | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.what}" + (f"\n    {self.configure}" if self.configure else "")


@dataclass(frozen=True, slots=True)
class Hindered:
    """It could not be looked there: why, and what to do about it."""

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


Finding = Found | Hindered
