"""A link that is a proxy on the bench's own machine."""

import attr
from labgrid.driver.common import Driver
from labgrid.factory import target_factory
from labgrid.step import step

from evswap_hil.bench.protocols import LinkProtocol
from evswap_hil.bench.resources import EvswapStack, TcpLink
from evswap_hil.bench.settings import Settings
from evswap_hil.link import Link


@target_factory.reg_driver
@attr.s(eq=False)
class LinkProxyDriver(Driver, LinkProtocol):
    """Stands between the station and the stack's broker."""

    bindings = {"link": TcpLink, "stack": EvswapStack}

    def on_activate(self) -> None:
        stack = Settings(self.target).stack(self.stack.stack_file)
        self._proxy = Link(stack.mqtt_host, stack.mqtt_port, listen_port=self.link.port)

    def on_deactivate(self) -> None:
        self._proxy.close()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port by which the station reaches its broker."""
        return self._proxy.address

    @Driver.check_active
    @step()
    def cut(self) -> None:
        self._proxy.cut()

    @Driver.check_active
    @step()
    def swallow(self) -> None:
        self._proxy.swallow()

    @Driver.check_active
    @step()
    def restore(self) -> None:
        self._proxy.restore()
