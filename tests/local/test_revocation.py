"""A certificate that is revoked while its station is connected."""

import asyncio
import socket
import ssl
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from evswap_local.certificates import keep_certificates
from evswap_local.emulator import fetch_trust_anchor
from evswap_local.ministack.revocation import disconnect_revoked
from evswap_local.stack.source import Source
from evswap_local.stack.things import apply_things
from tests.authority import LOOPBACK, Authority, common_name, key_pem, new_key
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


def test_a_connection_that_is_going_away_by_itself_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio has taken a closed TLS transport apart: asking it for its peer raises AttributeError."""
    accepting, trusting = contexts(tmp_path)

    async def close_while_it_looks() -> None:
        met: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(
            lambda _reader, writer: met.set_result(writer), LOOPBACK, 0, ssl=accepting
        )
        port = server.sockets[0].getsockname()[1]
        _reader, client = await asyncio.open_connection(LOOPBACK, port, ssl=trusting)
        writer = await met
        sessions = SimpleNamespace(_certificates=SimpleNamespace(_data={}), _mtls_sessions={writer: None})
        monkeypatch.setitem(sys.modules, "ministack.services.iot", sessions)
        writer.close()
        writer.close()
        disconnect_revoked()
        client.close()
        server.close()

    asyncio.run(close_while_it_looks())


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's."""
    authority, key = Authority(folder), new_key()
    certificate, key_file = folder / "server.pem", folder / "server.key"
    certificate.write_bytes(authority.sign(common_name("server"), key.public_key()))
    key_file.write_bytes(key_pem(key))
    accepting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    accepting.load_cert_chain(certificate, key_file)
    return accepting, ssl.create_default_context(cafile=str(authority.certificate))


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
