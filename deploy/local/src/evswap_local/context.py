"""What every command works on: a checkout, a state folder, its processes. The one place that wires them."""

from dataclasses import dataclass
from pathlib import Path

from evswap_local import credentials
from evswap_local.clients import Clients
from evswap_local.emulator import NAME as EMULATOR
from evswap_local.errors import NotRunning
from evswap_local.layout import Checkout, StateFolder
from evswap_local.processes import Processes
from evswap_local.settings import Settings, SettingsFile
from evswap_local.stack.source import Source, Values
from evswap_local.stack_file import StackFile, StackFileAt


@dataclass(frozen=True)
class Context:
    """One stack, running or not."""

    checkout: Checkout
    state: StateFolder

    @classmethod
    def of(cls, root: Path | None, state_dir: Path | None) -> "Context":
        """The stack of the checkout at ``root`` (or around the current folder); raises NotACheckout."""
        checkout = Checkout.around((root or Path.cwd()).absolute())
        return cls(checkout, checkout.state_folder(state_dir))

    @property
    def processes(self) -> Processes:
        return Processes(run=self.state.run, logs=self.state.logs)

    @property
    def settings_file(self) -> SettingsFile:
        return SettingsFile(self.state.run / "settings.json")

    @property
    def stack_file(self) -> StackFileAt:
        return StackFileAt(self.state.stack_file)

    def running_settings(self) -> Settings | None:
        """The settings of the running stack; None when none runs."""
        return self.settings_file.read() if self.processes.find(EMULATOR) else None

    def clients(self, settings: Settings) -> Clients:
        """Clients of the local AWS, in the name of its root."""
        return Clients(settings.endpoint_url, settings.region, credentials.keep(self.state.credentials))

    def source(self, clients: Clients) -> Source:
        """The stack as data, for this AWS."""
        folder = self.checkout.stack
        return Source(folder, Values.of(folder, region=clients.region, account_id=clients.account_id()))

    def demand_running(self) -> tuple[Settings, StackFile]:
        """What describes the running stack; raises NotRunning."""
        settings = self.running_settings()
        if settings is None:
            raise NotRunning
        return settings, self.stack_file.read()
