"""What every suite asks for. `strategy` is labgrid's own fixture."""

from collections.abc import Iterator

import pytest

from evswap_hil.bench.facade import Bench
from evswap_hil.bench.measuring import Measured, requirement_of
from evswap_hil.bench.strategy import StationStrategy


@pytest.fixture(scope="session", autouse=True)
def off_at_the_end(strategy: StationStrategy) -> Iterator[None]:
    """Whoever comes next finds the bench switched off."""
    yield
    if not strategy.broken:
        strategy.transition("off")


@pytest.fixture
def bench(strategy: StationStrategy) -> Bench:
    """The bench, in whatever state it is."""
    return Bench(strategy)


@pytest.fixture
def online(bench: Bench) -> Iterator[Bench]:
    """A bench whose station is online; whatever the test breaks is mended."""
    bench.go("online")
    yield bench
    bench.heal()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Takes what the test measures for the requirement that it is marked with."""
    required = requirement_of(request.node)
    if required is None:
        raise pytest.UsageError(f"{request.node.nodeid} measures something and has no requirement")
    return Measured(request.node, required)
