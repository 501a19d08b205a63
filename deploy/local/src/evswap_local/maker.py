"""Who makes the stack on the local AWS: ``evswap`` within seconds, or Terraform by the code for real AWS."""

import shutil
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

from evswap_local import emulator, fleet
from evswap_local.clients import Clients
from evswap_local.context import Context
from evswap_local.credentials import keep
from evswap_local.errors import OtherMaker
from evswap_local.layout import StateFolder
from evswap_local.settings import Settings
from evswap_local.stack.apply import apply_stack
from evswap_local.stack.change import Change
from evswap_local.stack.source import Source
from evswap_local.terraform import child as terraform
from evswap_local.terraform.apply import Terraform
from evswap_local.terraform.tool import find_terraform
from evswap_local.terraform.workspace import Workspace


class Maker(StrEnum):
    """EVSWAP reads cloud/stack itself; TERRAFORM applies cloud/terraform, which reads it too."""

    EVSWAP = "evswap"
    TERRAFORM = "terraform"


def choose(state: StateFolder, wanted: Maker | None) -> Maker:
    """The maker that the stack in ``state`` has already, else the one that is wanted.

    Raises OtherMaker, and TerraformMissing before anything is started in vain.
    """
    made = _maker_of(state)
    if made is not None and wanted not in (None, made):
        raise OtherMaker(state.path, made, str(wanted))
    chosen = made or wanted or Maker.EVSWAP
    if chosen is Maker.TERRAFORM:
        find_terraform()
    return chosen


def make_stack(
    maker: Maker,
    context: Context,
    settings: Settings,
    clients: Clients,
    source: Source,
    package: Path,
    say: Callable[[str], None],
) -> Iterator[Change]:
    """Makes the stack, or corrects what differs; raises BadStack, TerraformMissing, TerraformFailed."""
    if maker is Maker.EVSWAP:
        return apply_stack(clients, source, package)
    made_by = Terraform(
        processes=context.processes,
        workspace=Workspace(context.state.terraform),
        configuration=context.checkout.terraform,
        settings=settings,
        credentials=keep(context.state.credentials),
        say=say,
    )
    return made_by.apply(source, package)


def discard_half_made(context: Context) -> bool:
    """Begins anew where Terraform's first apply was interrupted: there may be what its state does not know.

    False when there was no such thing. Nothing is lost: no station has ever used that stack.
    """
    workspace = Workspace(context.state.terraform)
    if not workspace.is_half_made():
        return False
    for name in (terraform.NAME, fleet.NAME, emulator.NAME):
        context.processes.stop(name)
    for folder in (workspace.folder, context.state.ministack):
        shutil.rmtree(folder, ignore_errors=True)
    context.settings_file.path.unlink(missing_ok=True)
    context.state.make()
    return True


def _maker_of(state: StateFolder) -> Maker | None:
    if Workspace(state.terraform).is_in_use():
        return Maker.TERRAFORM
    return Maker.EVSWAP if state.stack_file.exists() else None
