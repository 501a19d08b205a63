"""Mutual TLS as AWS IoT takes it (awscrt)."""

from pathlib import Path
from typing import Final

from awscrt import exceptions, io

from evswap_edge.transports import CredentialsError

_ALPN_PORT: Final = 443
_ALPN_MQTT: Final = ["x-amzn-mqtt-ca"]
"""AWS IoT takes MQTT with client certificates on port 443 when this protocol is asked for in the TLS
handshake (AWS IoT Core Developer Guide, "Protocols, port mappings, and authentication")."""


def tls_context(
    *, port: int, certificate_file: Path, key_file: Path, ca_file: Path | None
) -> "io.ClientTlsContext":
    """The client's side; without ``ca_file`` the system's trust store counts.

    Raises ``CredentialsError`` for what ``check_credentials`` lets pass: files that are no pair, or of a kind
    that awscrt does not know.
    """
    try:
        options = io.TlsContextOptions.create_client_with_mtls_from_path(str(certificate_file), str(key_file))
        if ca_file is not None:
            options.override_default_trust_store_from_path(None, str(ca_file))
        if port == _ALPN_PORT:
            options.alpn_list = _ALPN_MQTT
        return io.ClientTlsContext(options)
    except (exceptions.AwsCrtError, RuntimeError) as error:
        problem = f"does not belong to the certificate {certificate_file}, or one is of another kind"
        raise CredentialsError(key_file, f"{problem}: {error}") from error
