"""What a bench can fail in, beyond its parts."""


class BenchError(Exception):
    """The bench cannot do what a test needs."""


class StationRefused(BenchError):
    """The station's own check of its configuration failed; `reason` is what it said."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the station would not start: {reason}")
        self.reason = reason


class NotReached(BenchError):
    """The station could not be brought to `status`; `cause` is why. The bench is given up then."""

    def __init__(self, status: str, cause: BaseException | None) -> None:
        super().__init__(f"the station could not be brought to {status!r}: {cause}")
        self.status = status
        self.cause = cause


class NotOnline(BenchError):
    """Nothing new of the station reached the API within `seconds`; `last_words` is the end of its log."""

    def __init__(self, station_id: str, seconds: float, last_words: str) -> None:
        super().__init__(f"{station_id} was not online within {seconds:g} s; its last words:\n{last_words}")
        self.station_id = station_id
        self.seconds = seconds
        self.last_words = last_words


class NotUsable(BenchError):
    """The run cannot begin: `reason`, and what mends it."""

    def __init__(self, reason: str, mend: str = "") -> None:
        super().__init__(f"{reason}; {mend}" if mend else reason)
        self.reason = reason
        self.mend = mend
