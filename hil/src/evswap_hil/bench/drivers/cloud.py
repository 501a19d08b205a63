"""The cloud, through the REST API and the archive's list."""

from datetime import datetime
from typing import Any

import attr
from labgrid.driver.common import Driver
from labgrid.factory import target_factory

from evswap_hil.bench.protocols import CloudProtocol
from evswap_hil.bench.resources import EvswapStack
from evswap_hil.bench.settings import Settings
from evswap_hil.observers.archive import Account, ArchiveObserver
from evswap_hil.observers.rest import RestObserver
from evswap_hil.programs import LOCAL


@target_factory.reg_driver
@attr.s(eq=False)
class CloudDriver(Driver, CloudProtocol):
    """Looks at the stack; active as long as there is one to look at."""

    bindings = {"stack": EvswapStack}

    def on_activate(self) -> None:
        settings = Settings(self.target)
        stack = settings.stack(self.stack.stack_file)
        self._api = RestObserver(stack.api_url, api_key=stack.api_key)
        self._archive = ArchiveObserver(settings.program(LOCAL), settings.stack_file(self.stack.stack_file))

    def on_deactivate(self) -> None:
        self._api.close()

    @Driver.check_active
    def latest(self, station_id: str) -> dict[str, Any] | None:
        return self._api.station(station_id)

    @Driver.check_active
    def account(self, station_id: str, since: datetime) -> Account:
        return self._archive.account(station_id, since=since)
