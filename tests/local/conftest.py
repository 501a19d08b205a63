"""The real local AWS for the tests that need it: one for all that only look at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from evswap_local.clients import Clients
from evswap_local.layout import Checkout
from evswap_local.settings import Settings
from evswap_local.stack.apply import apply_stack
from evswap_local.stack.change import Change
from evswap_local.stack.source import Source, Values
from tests.conftest import SkipAloud
from tests.functions_zip import functions_zip
from tests.local.real import ROOT, Emulator, free_ports


@pytest.fixture(scope="session")
def ministack_python(skip_aloud: SkipAloud) -> Path:
    """The interpreter that has ministack."""
    python = ROOT / ".venv-ministack" / "bin" / "python"
    if not python.exists():
        skip_aloud("the local AWS is not installed; run the tests by `make test`", could_run=True)
    return python


@pytest.fixture(scope="session")
def emulator(ministack_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A running local AWS, empty at first. Tests share it: none may stop it."""
    with Emulator.running(ministack_python, tmp_path_factory.mktemp("emulator")) as running:
        yield running


@pytest.fixture
def own_emulator(ministack_python: Path, tmp_path: Path) -> Iterator[Emulator]:
    """One that a test may stop and start."""
    with Emulator.running(ministack_python, tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def clients(emulator: Emulator) -> Clients:
    """Clients of the shared one, as root."""
    return emulator.clients()


@pytest.fixture(scope="session")
def source(clients: Clients) -> Source:
    """The stack as data."""
    folder = Checkout(ROOT).stack
    return Source(folder, Values.of(folder, region=clients.region, account_id=clients.account_id()))


@pytest.fixture(scope="session")
def package() -> Path:
    """The functions' zip."""
    return functions_zip()


@pytest.fixture(scope="session")
def applied(clients: Clients, source: Source, package: Path) -> list[Change]:
    """What was changed to make the whole stack in the shared one."""
    return list(apply_stack(clients, source, package))


@pytest.fixture
def settings() -> Settings:
    """Settings with ports that nobody uses."""
    port, mqtt_port = free_ports(2)
    return Settings(port=port, mqtt_port=mqtt_port)
