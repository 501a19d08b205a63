"""What can go wrong in the cloud.

CloudError
├── MissingSetting        variable: the function's environment lacks it
├── SigningKeyError       source, problem: no key to sign authorisations with
├── InvalidEnvelope       field, rule: what the rule put into the queue is not its envelope
├── Refusal               reason, field, rule, value: the message itself is not to be taken
├── Overtaken             key: somebody else has compacted meanwhile; the next run takes what this one left
├── Unverified            day, expected, found: a file that was just written does not hold what it has to
├── QueryError            problem: the SQL does not run on the history
├── DamagedBays           problem, size: what is kept of a station's bays is not what was written
└── StoreError            operation, target, code: AWS did not do it; doing it again may help
    ├── ArchiveError
    ├── QuarantineError
    ├── LatestStateError
    ├── EventStoreError
    ├── LedgerError
    ├── MinuteStoreError
    ├── HistoryError
    ├── ErasureError
    ├── CommandError
    ├── AcknowledgementError
    ├── TicketError
    ├── WatcherError
    ├── LineError
    │   └── LineGone
    └── RegistryError
"""

from enum import StrEnum


class CloudError(Exception):
    """The root of everything that this package raises."""


class MissingSetting(CloudError):
    """The environment of the function lacks ``variable``."""

    def __init__(self, variable: str) -> None:
        self.variable = variable
        super().__init__(
            f"environment variable {variable} is not set; cloud/stack/functions.yaml says what it holds"
        )


class SigningKeyError(CloudError):
    """The file or secret ``source`` gives no key to sign authorisations with; ``problem`` says why."""

    def __init__(self, *, source: str, problem: str) -> None:
        self.source = source
        self.problem = problem
        super().__init__(f"{source}: {problem}")


class InvalidEnvelope(CloudError):
    """A queue's record is not the envelope that the rules write. ``field`` is empty for the whole record."""

    def __init__(self, *, field: str, rule: str) -> None:
        self.field = field
        self.rule = rule
        super().__init__(f"{field or 'envelope'}: {rule}")


class Reason(StrEnum):
    """Why a message is in quarantine. The values are part of the objects' metadata: they do not change."""

    ENVELOPE = "envelope"
    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    INVALID_FIELD = "invalid-field"
    WRONG_TOPIC = "wrong-topic"
    WRONG_CLIENT = "wrong-client"
    WRONG_STATION = "wrong-station"
    IMPOSSIBLE_TIMESTAMP = "impossible-timestamp"
    FUTURE_TIMESTAMP = "future-timestamp"
    IDENTITY_CONFLICT = "identity-conflict"


class Refusal(CloudError):
    """A message that must not reach the stores: ``field`` broke ``rule`` with ``value`` (text, truncated)."""

    def __init__(self, *, reason: Reason, field: str, rule: str, value: str) -> None:
        self.reason = reason
        self.field = field
        self.rule = rule
        self.value = value
        super().__init__(f"{field or 'message'}: {rule}; found {value}")


class Overtaken(CloudError):
    """The object ``key`` is no longer as it was read: two compactors were at work."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"{key} was replaced by somebody else meanwhile: nothing is lost, run it again")


class Unverified(CloudError):
    """A file of ``day`` was read back and has ``found`` rows where ``expected`` identities have to be, or not
    these."""

    def __init__(self, *, day: str, expected: int, found: int) -> None:
        self.day = day
        self.expected = expected
        self.found = found
        super().__init__(
            f"{day}: {expected} identities were to be written and {found} rows were read back, or others;"
            " nothing was switched and no original deleted"
        )


class QueryError(CloudError):
    """The history cannot be asked this; ``problem`` says why."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


class DamagedBays(CloudError):
    """The ``size`` bytes that a station's bays are packed into cannot be read; ``problem`` says why. Its next
    reading replaces them."""

    def __init__(self, *, problem: str, size: int) -> None:
        self.problem = problem
        self.size = size
        super().__init__(f"{size} bytes of packed bays are damaged: {problem}")


class StoreError(CloudError):
    """AWS did not carry out ``operation`` on ``target``; ``code`` is its error code, or the client's."""

    def __init__(self, *, operation: str, target: str, code: str) -> None:
        self.operation = operation
        self.target = target
        self.code = code
        super().__init__(f"{operation} {target}: {code}")


class ArchiveError(StoreError):
    """The archive did not take an object."""


class QuarantineError(StoreError):
    """The quarantine did not take a message."""


class LatestStateError(StoreError):
    """The table of latest states was not read or written."""


class EventStoreError(StoreError):
    """The table of events was not read or written."""


class LedgerError(StoreError):
    """A record of the ledger of batteries was not read or written."""


class HistoryError(StoreError):
    """The raw archive or the compacted history was not read or written."""


class MinuteStoreError(StoreError):
    """The table of minutes was not read or written."""


class ErasureError(StoreError):
    """A person could not be removed from every store: it has to be done again."""


class CommandError(StoreError):
    """A station was not sent a command."""


class AcknowledgementError(StoreError):
    """A station was not told what the cloud has."""


class TicketError(StoreError):
    """A ticket for live updates was not kept or looked up."""


class WatcherError(StoreError):
    """The table of those who watch was not read or written."""


class LineError(StoreError):
    """A client that watches was not sent something, or could not be dropped."""


class LineGone(LineError):
    """It has left."""


class RegistryError(StoreError):
    """AWS IoT's registry was not read."""
