"""Leave OpenSSL out of a process that does not need it.

awscrt brings TLS of its own. asyncio and hashlib, however, take OpenSSL along where they find it, 4.5 MB that
a small computer has better use for; where they do not find it, they do without. Whoever does need it calls
``with_openssl`` before he imports it.
"""

import sys
from typing import Any, Final

_DOORS: Final = ("ssl", "_hashlib")
"""The modules by which Python reaches OpenSSL."""


def without_openssl() -> None:
    """Let what is imported from now on find no OpenSSL. Where it has been imported already, nothing
    changes."""
    modules: dict[str, Any] = sys.modules
    for door in _DOORS:
        modules.setdefault(door, None)


def with_openssl() -> None:
    """Let it be found again, by what is imported from now on."""
    modules: dict[str, Any] = sys.modules
    for door in _DOORS:
        if door in modules and modules[door] is None:
            del modules[door]
