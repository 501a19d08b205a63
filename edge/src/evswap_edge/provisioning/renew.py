"""From the certificate that a station has to its next one, step by step: each may be the last before a kill.

======================================  ====================================================
killed after                            the next attempt
======================================  ====================================================
the new key was made                    goes on with that key
the new certificate was registered      is given another for that key; the one that nobody has is older than
                                        the one that will be used, and is revoked with the others
the new certificate was written         begins with showing that it works
it took the place of the old one        tells the cloud
the cloud was told                      finds nothing to do
======================================  ====================================================

What connects the station is replaced when its successor has connected, and not before. The cloud is told over
that very connection, and revokes what came before.

``python -m evswap_edge.provisioning.renew`` does it for a running station, which does not carry the libraries
for it: ``Renewal`` in JSON on standard input, ``Outcome`` on standard output.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from evswap_edge.files import write_private
from evswap_edge.keys import KeyFileError
from evswap_edge.pairs import Pair
from evswap_edge.provisioning.attempt import Done, Outcome, Renewal
from evswap_edge.provisioning.claim import Claim, ClaimConnection
from evswap_edge.provisioning.errors import ClaimRefused, NotReached, ProvisioningError, RequestFailed
from evswap_edge.provisioning.obtain import registered_certificate
from evswap_edge.transports import CredentialsError
from evswap_schema import Channel, aws_topic

WAITS_S: Final = (1.0, 2.0, 4.0, 8.0)
"""Between tries of one attempt. A cloud takes seconds until all of it knows a certificate that was just made,
and until a hook that was not needed for days answers."""

ResultT = TypeVar("ResultT")


def renew(renewal: Renewal) -> Done:
    """Replace the certificate, key and all, or tell the cloud of the one that was replaced before. Whatever
    this raises, the station has a pair that works.

    Raises ``ProvisioningError``, ``KeyFileError`` or ``CredentialsError``.
    """
    try:
        return _attempt(renewal)
    except OSError as error:
        raise KeyFileError(
            Path(error.filename or renewal.key_file),
            f"cannot be written: {error.strerror}; see to it that the station may write in that folder",
        ) from error


def _attempt(renewal: Renewal) -> Done:
    pair = renewal.pair
    pair.finish_replacement()
    pair.tidy()
    if pair.has_successor and _succeeds(renewal):
        return Done.RENEWED
    if pair.is_replacement_to_be_told:
        with _connection(renewal, pair) as link:
            _tell(renewal, link)
        return Done.TOLD
    _obtain_successor(renewal)
    _succeed(renewal)
    return Done.RENEWED


def _obtain_successor(renewal: Renewal) -> None:
    """A new key, and a certificate for it. A successor that could not connect goes: this connection shows
    that it was not for want of a network."""
    pair = renewal.pair
    with _connection(renewal, pair) as link:
        if pair.has_successor:
            pair.discard_successor()
        key_file = pair.successor.key_file
        certificate = _patiently(
            lambda: registered_certificate(link, renewal.station_id, key_file, renewal.template),
            over=(RequestFailed,),
        )
    write_private(pair.successor.certificate_file, certificate, replace=True)


def _succeeds(renewal: Renewal) -> bool:
    """Whether the successor that an earlier attempt has left connects, and is in its place now."""
    try:
        _succeed(renewal)
    except (ClaimRefused, CredentialsError, NotReached):
        return False
    return True


def _succeed(renewal: Renewal) -> None:
    """Let the successor connect, and take the place of what was before."""
    with _proof(renewal) as link:
        renewal.pair.replace_by_successor()
        _tell(renewal, link)


@contextmanager
def _proof(renewal: Renewal) -> Iterator[ClaimConnection]:
    """A connection with the successor, which the far side may come to know after a while."""
    with ExitStack() as connected:
        yield _patiently(
            lambda: connected.enter_context(_connection(renewal, renewal.pair.successor)),
            over=(ClaimRefused, NotReached),
        )


def _patiently(step: Callable[[], ResultT], *, over: tuple[type[ProvisioningError], ...]) -> ResultT:
    """What ``step`` gives, which is tried again over some errors."""
    for wait_s in WAITS_S:
        try:
            return step()
        except over:
            time.sleep(wait_s)
    return step()


def _connection(renewal: Renewal, pair: Pair) -> ClaimConnection:
    """As the station itself: its policies let it connect under no other name."""
    shown = Claim(
        host=renewal.host,
        port=renewal.port,
        certificate_file=pair.certificate_file,
        key_file=pair.key_file,
        ca_file=renewal.ca_file,
        kind="station",
        timeout_s=renewal.timeout_s,
    )
    return ClaimConnection(shown, renewal.station_id)


def _tell(renewal: Renewal, link: ClaimConnection) -> None:
    """AWS IoT adds to the message which certificate it came with."""
    link.tell(aws_topic(Channel.CERTIFICATE, renewal.station_id), {"station_id": renewal.station_id})
    renewal.pair.note_told()


def main() -> int:
    """One attempt, for whoever has started this process."""
    renewal = Renewal.decode(sys.stdin.buffer.read())
    try:
        outcome = Outcome(done=renew(renewal))
    except (ProvisioningError, KeyFileError, CredentialsError) as error:
        outcome = Outcome(done=Done.FAILED, reason=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))
    return 0


if __name__ == "__main__":
    sys.exit(main())
