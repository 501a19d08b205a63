"""Drivers and transports are found by name, and a missing library fails only the one that needs it."""

from importlib import metadata
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from evswap_edge import drivers, plugins, transports
from evswap_edge.plugins import Builtin, PluginUnavailable, UnknownPlugin


@pytest.mark.parametrize("name", drivers.BUILTINS)
def test_every_driver_of_ours_can_be_loaded(name: str) -> None:
    assert isinstance(drivers.load_driver(name), drivers.DriverKind)


@pytest.mark.parametrize("name", transports.BUILTINS)
def test_every_transport_of_ours_can_be_loaded(name: str) -> None:
    assert isinstance(transports.load_transport(name), transports.TransportKind)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownPlugin, match="did you mean 'simulated'") as refused:
        drivers.load_driver("simulator")
    assert refused.value.nearest == "simulated"
    with pytest.raises(UnknownPlugin, match="known are: can, gpio, modbus, sht3x, simulated"):
        drivers.load_driver("xyz")


def test_a_missing_library_names_the_line_that_installs_it() -> None:
    table = {"can": Builtin("evswap_no_such_library.bus:KIND", extra="modbus")}
    with pytest.raises(
        PluginUnavailable, match=r"install it with: pip install 'pymodbus\[serial\].*' \(the extra 'modbus'"
    ) as refused:
        plugins.load("can", kind="driver", builtins=table, group="evswap_edge.drivers")
    assert refused.value.missing == "evswap_no_such_library"


def test_another_distribution_adds_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("bench", "evswap_edge.drivers.simulated:KIND", drivers.ENTRY_POINTS)
    absent = EntryPoint("broken", "evswap_no_such_library:KIND", drivers.ENTRY_POINTS)

    def offered(*, group: str) -> EntryPoints:
        return EntryPoints([entry, absent]).select(group=group)

    monkeypatch.setattr(metadata, "entry_points", offered)
    assert drivers.load_driver("bench") is drivers.load_driver("simulated")
    with pytest.raises(PluginUnavailable, match="pip install evswap_no_such_library"):
        drivers.load_driver("broken")
