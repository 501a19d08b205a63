"""When a certificate is old enough to be replaced.

AWS IoT signs certificates that end in 2049: by their end alone they would never be replaced. So their age
counts as well.
"""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Final

from msgspec import Meta, Struct

from evswap_edge.certificates import Validity
from evswap_schema import provisioning

_SPREAD: Final = timedelta(days=7)
"""Stations that were made in one hour ask for their next certificates spread over a week."""
_SHORT_LIVED: Final = 3
"""What lives for days is replaced in the last third of its time."""
_SPREAD_SHARE: Final = 10
"""Of a shorter time, a tenth is enough to spread requests."""


class Provisioning(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether and when the station has its certificate replaced, and by which template."""

    renew: bool = True
    renew_after_days: Annotated[int, Meta(ge=1, le=9_000)] = 365
    renew_before_days: Annotated[int, Meta(ge=1, le=3_650)] = 30
    template: Annotated[str, Meta(pattern=r"^[0-9A-Za-z_-]{1,36}\Z")] = provisioning.TEMPLATE


def renewal_due_at(times: Validity, terms: Provisioning, *, name: str) -> datetime:
    """When the certificate is to be replaced: by its age or before its end, whichever is first; for each
    ``name`` somewhat earlier, and always the same."""
    life = times.ends - times.begins
    before_end = min(timedelta(days=terms.renew_before_days), life / _SHORT_LIVED)
    age = min(timedelta(days=terms.renew_after_days), life - before_end)
    return times.begins + age - _share(f"{name} {times.begins}") * min(_SPREAD, age / _SPREAD_SHARE)


def endangered_from(times: Validity, terms: Provisioning) -> datetime:
    """From when on somebody has to look why the certificate was not replaced: half way to its end."""
    life = times.ends - times.begins
    return times.ends - min(timedelta(days=terms.renew_before_days), life / _SHORT_LIVED) / 2


def _share(text: str) -> float:
    """Between 0 and 1, the same for the same text."""
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big") / 2**32
