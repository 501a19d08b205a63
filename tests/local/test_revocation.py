"""A certificate that is revoked while its station is connected."""

import socket
import ssl
import struct
from pathlib import Path

from evswap_local.certificates import keep_certificates
from evswap_local.emulator import fetch_trust_anchor
from evswap_local.stack.source import Source
from evswap_local.stack.things import apply_things
from tests.local.real import Emulator

STATION = "revoked-while-connected"
ACCEPTED = b"\x20\x02\x00\x00"
"""A CONNACK of MQTT 3.1.1 that welcomes (OASIS, section 3.2)."""


def test_it_is_disconnected(own_emulator: Emulator, source: Source, tmp_path: Path) -> None:
    clients = own_emulator.clients()
    list(apply_things(clients, source))
    list(keep_certificates(clients, source, tmp_path, [STATION]))
    fetch_trust_anchor(own_emulator.settings, tmp_path / "ca.pem")
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    context.load_cert_chain(tmp_path / f"{STATION}.cert.pem", tmp_path / f"{STATION}.key.pem")
    with (
        socket.create_connection(("127.0.0.1", own_emulator.settings.mqtt_port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as link,
    ):
        link.sendall(connect_packet(STATION))
        assert link.recv(len(ACCEPTED)) == ACCEPTED
        [principal] = clients.iot.list_thing_principals(thingName=STATION)["principals"]
        clients.iot.update_certificate(certificateId=principal.rpartition("/")[2], newStatus="REVOKED")
        assert is_closed(link)


def is_closed(link: ssl.SSLSocket) -> bool:
    """Waits until the other side ends the connection, in whichever way."""
    try:
        return link.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def connect_packet(client_id: str) -> bytes:
    """A CONNECT of MQTT 3.1.1 with a clean session (OASIS, section 3.1)."""
    name = client_id.encode()
    body = struct.pack("!H4sBBHH", 4, b"MQTT", 4, 2, 30, len(name)) + name
    return bytes([0x10, len(body)]) + body
