"""What can go wrong while a certificate is obtained. Each says what to do next."""

from typing import ClassVar


class ProvisioningError(Exception):
    """The root. ``temporary`` tells whether the same request may be answered otherwise later."""

    temporary: ClassVar[bool] = False


class NotReached(ProvisioningError):
    """No connection to ``address``; ``reason`` is what TLS or MQTT said."""

    temporary = True

    def __init__(self, address: str, reason: str, *, kind: str = "claim") -> None:
        self.address = address
        self.reason = reason
        super().__init__(
            f"{address} cannot be reached: {reason} Check host, port, CA file and network, and that the "
            f"{kind} certificate is still active"
        )


class NotAnswered(ProvisioningError):
    """Nothing came back on the topic of ``request`` within ``timeout_s`` seconds."""

    temporary = True

    def __init__(self, request: str, timeout_s: float) -> None:
        self.request = request
        self.timeout_s = timeout_s
        super().__init__(f"no answer to {request} within {timeout_s:g} s")


class ClaimRefused(ProvisioningError):
    """The far side does not accept the certificate that was shown for ``what`` it was to do."""

    def __init__(self, what: str, reason: str, *, kind: str = "claim") -> None:
        self.what = what
        self.reason = reason
        super().__init__(
            f"the {kind} certificate may not {what} ({reason}): is it active, has it the {kind}'s policies, "
            f"and is the name of the template right?"
        )


class TemplateUnusable(ProvisioningError):
    """No station can be provisioned by ``template``."""

    def __init__(self, template: str, reason: str) -> None:
        self.template = template
        self.reason = reason
        super().__init__(f"the provisioning template {template} cannot be used: {reason}")


class StationRefused(ProvisioningError):
    """The cloud gives ``station_id`` no certificate. It does not say why; its log does."""

    def __init__(self, station_id: str) -> None:
        self.station_id = station_id
        super().__init__(
            f"the cloud refuses {station_id} a certificate: most likely a station of that name has one for "
            f"another key. Choose another --station-id, or revoke the old certificate if its key is lost; "
            f"the log of the provisioning hook has the reason"
        )


class RequestRejected(ProvisioningError):
    """``code`` and ``message`` are the cloud's."""

    def __init__(self, request: str, code: str, message: str) -> None:
        self.request = request
        self.code = code
        self.message = message
        super().__init__(f"{request} was rejected: {message or 'no reason given'} ({code or 'no code'})")


class RequestFailed(RequestRejected):
    """A rejection that lies in the cloud and may pass: an overload, a hook that did not answer."""

    temporary = True


class NotOurCertificate(ProvisioningError):
    """The certificate that came back is not for the key of ``station_id``; it is not kept."""

    def __init__(self, station_id: str) -> None:
        self.station_id = station_id
        super().__init__(
            f"the certificate that came back is not for the key of {station_id}; it was not kept. "
            f"Whoever answers there is not the cloud that was asked: check --host"
        )
