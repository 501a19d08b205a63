"""What a function's time costs: its processor by what was measured, its waiting by what AWS's stores take.

A function has the share of a core that its memory buys: at 1,769 MB a whole one (Lambda Developer Guide,
"Configure Lambda function memory"). So a second of the processor is billed as 1.73 GB-s whatever the memory
is, and only waiting grows with it. A Graviton core is taken to be as fast as the one that was measured on.
"""

from dataclasses import dataclass
from typing import Final

from evswap_local.cost.lines import Line

_CORE_GB: Final = 1_769 / 1_024
_MB_A_GB: Final = 1_024
_PARALLEL: Final = 8
"""Writes that ingest has under way at once (``evswap_cloud.wiring.PARALLEL_WRITES``)."""

_KEYS_A_READ: Final = 100
"""That DynamoDB reads at once."""

AHEAD: Final = "dynamodb, looked ahead"
"""Keys that a function reads many at once."""
WAITS_S: Final = {"dynamodb": 0.006, AHEAD: 0.006 / _KEYS_A_READ, "s3": 0.030, "iot-data": 0.015}
"""Typical time to an answer within a region; not measured, there is no AWS here."""
_SMALL_CALLS: Final = {AHEAD: 5 / _KEYS_A_READ}
"""Small calls that take the processor as long, where it is not one: a hundred records of the ledger, read at
once, take it five; measured."""
INVOCATION_CPU_S: Final = 0.001
"""What the runtime takes to fetch an event and hand it over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """All that a function does: its ``calls`` to AWS by service, each of ``call_cpu_s``, and its own code's
    ``cpu_s``. One after the other, unless ``parallel``."""

    name: str
    memory_mb: int
    invocations: float
    cpu_s: float
    calls: dict[str, float]
    call_cpu_s: float
    parallel: bool = True

    @property
    def gb_seconds(self) -> float:
        """As Lambda bills them."""
        calls = sum(count * _SMALL_CALLS.get(service, 1.0) for service, count in self.calls.items())
        cpu_s = self.cpu_s + self.invocations * INVOCATION_CPU_S + calls * self.call_cpu_s
        waits_s = sum(count * WAITS_S[service] for service, count in self.calls.items())
        if self.parallel:
            waits_s /= _PARALLEL
        return cpu_s * _CORE_GB + waits_s * self.memory_mb / _MB_A_GB

    def lines(self, *, second: str = "lambda-gb-second-arm") -> list[Line]:
        """Its share of Lambda's bill."""
        return [
            Line(
                kind="Lambda", what=f"{self.name}: calls", quantity=self.invocations, price="lambda-request"
            ),
            Line(kind="Lambda", what=f"{self.name}: GB-s", quantity=self.gb_seconds, price=second),
        ]
