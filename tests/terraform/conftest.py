"""Terraform made ready once, the stack that it makes on a local AWS, and beside it the one of `evswap up`."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from evswap_local.clients import Clients
from evswap_local.stack.apply import apply_stack
from evswap_local.stack.source import Source, Values
from tests.conftest import SkipAloud
from tests.e2e.local_stack import LocalStack, begin_stack, shared_stack
from tests.functions_zip import functions_zip
from tests.local.real import Emulator
from tests.terraform.inventory import Inventory, Reader
from tests.terraform.tool import ROOT, Plan, Terraform, ready_terraform

MINISTACK = ROOT / ".venv-ministack" / "bin" / "python"
LONGEST_S = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First what needs no stack, which is being made meanwhile and counts for the first that asks for it."""
    items.sort(key=_asks_for_the_stack)
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(LONGEST_S))


def _asks_for_the_stack(item: pytest.Item) -> bool:
    return not {"stack", "own_stack"}.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def terraform(
    request: pytest.FixtureRequest, skip_aloud: SkipAloud, tmp_path_factory: pytest.TempPathFactory
) -> Terraform:
    """Terraform on a copy of the configuration, its provider in place; and the stack begun, if needed."""
    made = ready_terraform(skip_aloud, tmp_path_factory.mktemp("terraform"))
    if MINISTACK.exists() and any(map(_asks_for_the_stack, request.session.items)):
        begin_stack(request.config, lambda: tmp_path_factory.mktemp("stack"), "terraform")
    return made


@pytest.fixture(scope="session")
def ministack(skip_aloud: SkipAloud) -> Path:
    """The interpreter that has ministack."""
    if not MINISTACK.exists():
        skip_aloud("the local AWS is not installed; run the tests by `make test`", could_run=True)
    return MINISTACK


@pytest.fixture(scope="session")
def stack(
    terraform: Terraform,
    ministack: Path,
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> LocalStack:
    """A running stack that Terraform has made. None of the tests here may change it for good."""
    return shared_stack(pytestconfig, lambda: tmp_path_factory.mktemp("stack"), "terraform")


@pytest.fixture(scope="session")
def package() -> Path:
    """The functions' zip for this machine."""
    return functions_zip()


@dataclass(frozen=True)
class Account:
    """An AWS of this machine."""

    clients: Clients
    source: Source
    package: Path

    def client(self, service: str) -> Any:
        keys = self.clients.credentials
        session = boto3.Session(keys.access_key_id, keys.secret_access_key, region_name=self.clients.region)
        return session.client(service, endpoint_url=self.clients.endpoint_url)  # type: ignore[call-overload]

    def make(self) -> None:
        """The stack as `evswap up` makes it."""
        for _change in apply_stack(self.clients, self.source, self.package):
            pass

    def environment(self) -> dict[str, str]:
        """What leads Terraform here."""
        keys = self.clients.credentials
        return {
            "AWS_ACCESS_KEY_ID": keys.access_key_id,
            "AWS_SECRET_ACCESS_KEY": keys.secret_access_key,
            "AWS_ENDPOINT_URL": self.clients.endpoint_url,
        }

    def inventory(self) -> Inventory:
        return Reader(self.client, self.clients.endpoint_url).inventory()


@pytest.fixture(scope="session")
def account(ministack: Path, package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """A local AWS with the stack that `evswap up` makes."""
    folder = ROOT / "cloud" / "stack"
    with Emulator.running(ministack, tmp_path_factory.mktemp("account")) as emulator:
        clients = emulator.clients()
        values = Values.of(folder, region=clients.region, account_id=clients.account_id())
        made = Account(clients, Source(folder, values), package)
        made.make()
        yield made


@pytest.fixture(scope="session")
def zips(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a zip under the name of the one for AWS: nothing runs it."""
    folder = tmp_path_factory.mktemp("zips")
    shutil.copy(package, folder / "evswap-cloud-linux-aarch64-cp313.zip")
    return folder


@pytest.fixture(scope="session")
def dev(terraform: Terraform, account: Account, zips: Path) -> Plan:
    """What a first apply would make for dev, with nothing left out."""
    return terraform.plan(
        *("-var-file=environments/dev.tfvars", "-var=account_id=000000000000"),
        *(f"-var=packages={zips}", f"-var=stack_folder={account.source.folder}"),
        environment=account.environment(),
    )
