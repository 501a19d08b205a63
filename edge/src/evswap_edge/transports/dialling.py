"""Reach a broker over mutual TLS without a thread: a thousand stations that dial at once block nobody."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evswap_edge.transports import CertificateRefused, CredentialsError, NotConnected

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HUNG_UP: Final = "the broker hung up"

_DETAILS: Final = " (_ssl.c:"
"""Where OpenSSL's reason ends in the text of Python's exceptions."""


class Line(ssl.SSLSocket):
    """A connection that remembers what broke it; its users only say that it did.

    In TLS 1.3 a client learns that its certificate was refused when it reads, not in the handshake.
    """

    failure: OSError | None = None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except OSError as error:
            self._remember(error)
            raise

    def send(self, data: "ReadableBuffer", flags: int = 0) -> int:
        try:
            return super().send(data, flags)
        except OSError as error:
            self._remember(error)
            raise

    def _remember(self, error: OSError) -> None:
        if not isinstance(error, ssl.SSLWantReadError | ssl.SSLWantWriteError):
            self.failure = error

    def alert(self) -> OSError | None:
        """Why the connection broke. What the far side said before it hung up, and nobody has read yet, tells
        more than that it did."""
        if isinstance(self.failure, ConnectionError):
            with suppress(OSError):
                self.recv()
        return self.failure


def tls_context(*, certificate_file: Path, key_file: Path, ca_file: Path | None) -> ssl.SSLContext:
    """The client's side; without ``ca_file`` the system's trust store counts. The files are read each time:
    they may have been replaced.

    Raises ``CredentialsError``.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except OSError as error:
        raise CredentialsError(ca_file or certificate_file, f"cannot be used: {told(error)}") from error
    try:
        context.load_cert_chain(certificate_file, key_file, password=_no_password)
    except (OSError, ValueError) as error:
        raise CredentialsError(
            key_file, f"does not belong to the certificate {certificate_file}, or is unusable: {told(error)}"
        ) from error
    context.sslsocket_class = Line
    return context


def _no_password() -> str:
    """OpenSSL would ask the terminal for it."""
    raise ValueError("the key is encrypted; a station has nobody to ask for the password")


async def dial(host: str, port: int, context: ssl.SSLContext) -> Line:
    """Connect and shake hands, with the first of the host's addresses that answers. Raises
    ``NotConnected`` or ``CertificateRefused``."""
    try:
        return await _secured(await _connected(host, port), host, context)
    except OSError as error:
        raise lost(error) from error


async def _connected(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failures: list[OSError] = []
    for family, kind, protocol, _, address in addresses:
        line = socket.socket(family, kind, protocol)
        with ExitStack() as undo:
            undo.callback(line.close)
            line.setblocking(False)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await loop.sock_connect(line, address)
            except OSError as error:
                failures.append(error)
                continue
            undo.pop_all()
            return line
    raise failures[0]


async def _secured(line: socket.socket, host: str, context: ssl.SSLContext) -> Line:
    with ExitStack() as undo:
        undo.callback(line.close)
        secured = context.wrap_socket(line, server_hostname=host, do_handshake_on_connect=False)
        undo.callback(secured.close)
        if not isinstance(secured, Line):
            raise TypeError(f"the context makes {type(secured).__name__}, not Line")
        await _shake_hands(secured)
        undo.pop_all()
        return secured


async def _shake_hands(line: Line) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            return line.do_handshake()
        except ssl.SSLWantReadError:
            await _ready(line, loop.add_reader, loop.remove_reader)
        except ssl.SSLWantWriteError:
            await _ready(line, loop.add_writer, loop.remove_writer)


async def _ready(
    line: Line,
    watch: Callable[[int, Callable[[], None]], None],
    ignore: Callable[[int], bool],
) -> None:
    """Return when the event loop that ``watch`` belongs to sees that ``line`` can go on."""
    ready = asyncio.Event()
    watch(line.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        ignore(line.fileno())


def lost(error: Exception) -> NotConnected:
    """What ``error`` means for the link."""
    refused = getattr(error, "reason", None) in _ALERTS
    return CertificateRefused(told(error)) if refused else NotConnected(told(error))


def told(error: Exception) -> str:
    """The reason for people: a refusal by the broker's TLS says what to look at."""
    reason = getattr(error, "reason", None)
    if reason in _ALERTS:
        return _ALERTS[reason]
    if isinstance(error, ssl.SSLEOFError | ConnectionResetError | BrokenPipeError):
        return HUNG_UP
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate is not to be trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return str(error).split(_DETAILS, maxsplit=1)[0]
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


_REFUSED: Final = "the broker refuses this station's certificate"
_ALERTS: Final = {
    "SSLV3_ALERT_CERTIFICATE_REVOKED": f"{_REFUSED}: it was revoked; obtain another with"
    " `evswap-edge provision` or `csr`",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"{_REFUSED}: by the broker's clock it has expired;"
    " obtain another with `evswap-edge provision` or `csr`, or look at the broker's clock",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": f"{_REFUSED}: it cannot be used there",
    "SSLV3_ALERT_BAD_CERTIFICATE": f"{_REFUSED}: it is broken, or not for this purpose",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": f"{_REFUSED}: its kind is not supported",
    "TLSV1_ALERT_UNKNOWN_CA": f"{_REFUSED}: it does not trust the authority that signed it",
    "TLSV1_ALERT_ACCESS_DENIED": f"{_REFUSED}: access denied",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": f"{_REFUSED}: none was presented",
}
"""The alerts of TLS (RFC 8446, section 6) that are about the client's certificate, by OpenSSL's names."""
