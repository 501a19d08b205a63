"""The claim certificate: what a new station needs to obtain a certificate of its own (docs/provisioning.md).

It lies in a folder apart from the stations' own, together with the trust anchor, so that the folder can be
handed to a new station as it is.
"""

from pathlib import Path

from evswap_edge.keys import certificate_path, key_path
from evswap_local.certificates import State, certificate_state, issue_certificate
from evswap_local.clients import Clients
from evswap_local.files import write_private
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.provisioning import claim_policy_name
from evswap_local.stack.source import Source

NAME = "claim"
KIND = "claim certificate"


def claim_certificate(folder: Path) -> Path:
    """Where the certificate lies."""
    return certificate_path(folder, NAME)


def claim_key(folder: Path) -> Path:
    """Where its key lies."""
    return key_path(folder, NAME)


def keep_claim(clients: Clients, source: Source, folder: Path, trust_anchor: Path) -> Change:
    """Issues a claim when there is none that works: what is revoked or expired gets a key of its own too."""
    _keep_copy(trust_anchor, folder / trust_anchor.name)
    state = certificate_state(clients, folder, NAME)
    if state is State.GOOD:
        return Change(KIND, NAME, Outcome.UNCHANGED)
    if state is not State.MISSING:
        claim_key(folder).unlink()
    issue_certificate(clients, folder, NAME, policies=[claim_policy_name(source)])
    return Change(KIND, NAME, Outcome.CREATED if state is State.MISSING else Outcome.UPDATED)


def _keep_copy(original: Path, copy: Path) -> None:
    text = original.read_text(encoding="ascii")
    if not copy.is_file() or copy.read_text(encoding="ascii") != text:
        write_private(copy, text)
