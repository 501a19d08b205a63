import socket

import pytest

from evswap_hil.observers.listeners import listeners, parse_table

# As printed on a little-endian machine, with the address columns of the kernel's format (proc(5)).
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:22B3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1 0
   2: 0100007F:22B3 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 102 1 0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0 0 0
   1: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 0 0 0
   2: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A 0 0 0
"""


def test_only_listening_sockets_are_read():
    assert [str(listener) for listener in parse_table(TCP)] == ["127.0.0.1:8883", "0.0.0.0:22"]


def test_an_ipv6_address_is_read_in_the_machines_word_order():
    assert [str(listener) for listener in parse_table(TCP6)][:2] == ["[::1]:8080", "[::]:8081"]


@pytest.mark.parametrize(
    ("table", "loopback"), [(TCP, [True, False]), (TCP6, [True, False, True])], ids=["IPv4", "IPv6"]
)
def test_loopback_is_told_from_every_interface(table, loopback):
    assert [listener.on_loopback for listener in parse_table(table)] == loopback


def test_a_real_socket_is_found_by_its_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert [str(listener) for listener in listeners([port])] == [f"127.0.0.1:{port}"]
    assert listeners([port]) == []
