"""The link of a machine that takes commands, cut by its own firewall."""

import attr
from labgrid.driver.common import Driver
from labgrid.factory import target_factory
from labgrid.protocol import CommandProtocol
from labgrid.step import step

from evswap_hil.bench.protocols import LinkProtocol
from evswap_hil.bench.resources import BrokerPort

TABLE = "inet evswap_bench"
"""A table of our own: what the machine's firewall says otherwise stays as it is."""


@target_factory.reg_driver
@attr.s(eq=False)
class NftablesLinkDriver(Driver, LinkProtocol):
    """Rejects (cut) or drops (swallow) what goes to the broker's port. Needs root there, or sudo."""

    bindings = {"broker": BrokerPort, "shell": CommandProtocol}

    def on_deactivate(self) -> None:
        self._open()

    @Driver.check_active
    @step()
    def cut(self) -> None:
        self._close("reject with tcp reset")

    @Driver.check_active
    @step()
    def swallow(self) -> None:
        self._close("drop")

    @Driver.check_active
    @step()
    def restore(self) -> None:
        self._open()

    def _close(self, verdict: str) -> None:
        """Both directions: an answer that still came in would keep a connection alive."""
        self._open()
        port = self.broker.port
        rules = (
            f"add table {TABLE}; "
            f"add chain {TABLE} out {{ type filter hook output priority 0; }}; "
            f"add rule {TABLE} out tcp dport {port} {verdict}; "
            f"add chain {TABLE} in {{ type filter hook input priority 0; }}; "
            f"add rule {TABLE} in tcp sport {port} drop"
        )
        self.shell.run_check(f"sudo nft '{rules}'")

    def _open(self) -> None:
        """Also right where the table is not there."""
        self.shell.run_check(f"sudo nft 'add table {TABLE}; delete table {TABLE}'")
