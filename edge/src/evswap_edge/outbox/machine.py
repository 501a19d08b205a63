"""Which machine this is."""

import os
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_DNS, uuid5

_MACHINE_ID: Final = Path("/etc/machine-id")
_MACHINE_NAMESPACE: Final = uuid5(NAMESPACE_DNS, "machine.evswap")


def machine_name() -> str:
    """A stable name for this machine: a hash of machine-id, which machine-id(5) asks to be kept confidential.

    Where there is none (a bare container), the host's name stands in.
    """
    try:
        known_by = _MACHINE_ID.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        known_by = ""
    return str(uuid5(_MACHINE_NAMESPACE, known_by or os.uname().nodename))
