"""Ports that somebody else has."""

import os
import socket

import pytest

from evswap_local.errors import PortTaken
from evswap_local.ports import demand_free
from tests.local.real import free_ports


def test_a_taken_port_is_named_with_its_flag_and_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTaken) as refusal:
            demand_free("127.0.0.1", port, "--mqtt-port")
    assert refusal.value.port == port
    for part in (str(port), "--mqtt-port", f"process {os.getpid()}"):
        assert part in str(refusal.value)


def test_a_free_port_is_no_error_and_stays_free() -> None:
    [port] = free_ports(1)
    demand_free("127.0.0.1", port, "--port")
    demand_free("127.0.0.1", port, "--port")
