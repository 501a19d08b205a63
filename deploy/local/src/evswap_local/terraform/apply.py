"""Running Terraform: made ready when needed, watched while it works, ended in good order whatever happens."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from evswap_local.credentials import Credentials
from evswap_local.errors import TerraformFailed, is_conflict
from evswap_local.files import write_private
from evswap_local.processes import Processes
from evswap_local.settings import Settings
from evswap_local.stack.change import Change
from evswap_local.stack.source import Source
from evswap_local.terraform.child import Child
from evswap_local.terraform.said import Said, last_words
from evswap_local.terraform.tool import (
    environment_for_aws,
    environment_for_init,
    find_terraform,
    plugin_options,
)
from evswap_local.terraform.workspace import ENVIRONMENT, Workspace

AT_ONCE = 30
"""Most resources only wait for a queue to settle; ten at once, the default, would wait in turn."""


@dataclass(frozen=True, kw_only=True)
class Terraform:
    """For one local AWS. ``configuration`` is cloud/terraform; ``say`` is told what is waited for."""

    processes: Processes
    workspace: Workspace
    configuration: Path
    settings: Settings
    credentials: Credentials
    say: Callable[[str], None]

    def apply(self, source: Source, package: Path) -> Iterator[Change]:
        """Applies everything; raises TerraformMissing, TerraformFailed, BadStack.

        Interrupted, it lets Terraform end in good order: its state is written and its lock released. A first
        apply is begun anew after that (``Workspace.is_half_made``), a later one goes on from there.
        """
        program = find_terraform()
        self.workspace.prepare(self.configuration, source, package)
        self._make_ready(program)
        self.workspace.begun.touch()
        yield from self._apply(program)
        self.workspace.applied.touch()

    def _make_ready(self, program: str) -> None:
        wanted = " ".join([self.workspace.fingerprint(), *plugin_options()])
        done, lock = self.workspace.initialised, self.workspace.lock_file
        if lock.is_file() and done.is_file() and done.read_text(encoding="utf-8") == wanted:
            return
        self.say("  terraform init")
        lock.unlink(missing_ok=True)
        child = self._start(
            [program, "init", "-no-color", "-reconfigure", *plugin_options()],
            environment_for_init(self.workspace.data),
        )
        with child:
            for _line in child.lines():
                pass
        self._demand_success(child, [])
        write_private(done, wanted)

    def _apply(self, program: str) -> Iterator[Change]:
        command = [
            *(program, "apply", "-json", "-auto-approve", f"-parallelism={AT_ONCE}"),
            *(f"-var-file={ENVIRONMENT}", f"-var-file={self.workspace.values}"),
        ]
        environment = environment_for_aws(self.workspace.data, self.settings, self.credentials)
        said = Said(self.say)
        child = self._start(command, environment)
        try:
            with child:
                for line in child.lines():
                    yield from said.take(line)
        finally:
            # An answer that got lost was asked for again: what it had made is in no state.
            if child.ended_by_itself and not is_conflict(said.errors):
                self.workspace.begun.unlink(missing_ok=True)
        self._demand_success(child, said.errors)
        yield from said.unchanged()

    def _start(self, command: list[str], environment: dict[str, str]) -> Child:
        program, verb, *options = command
        here = f"-chdir={self.workspace.configuration}"
        return Child(self.processes, [program, here, verb, "-input=false", *options], environment)

    def _demand_success(self, child: Child, errors: list[str]) -> None:
        if child.exit_code != 0:
            raise TerraformFailed(errors or last_words(child.log), child.log)
