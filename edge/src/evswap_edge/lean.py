"""Keep a process small: one heap for all threads, and no OpenSSL where nothing needs it.

glibc gives each of up to eight threads a core a heap of its own (mallopt(3)), and what one thread leaves free
there no other uses: over weeks a station's dozen threads grow by a tenth for nothing. They hardly ever
allocate at the same time, so one heap serves them all.

awscrt brings TLS of its own. asyncio and hashlib, however, take OpenSSL along where they find it, 4.5 MB that
a small computer has better use for; where they do not find it, they do without. Whoever does need it calls
``with_openssl`` before he imports it.
"""

import ctypes
import sys
from typing import Any, Final

_DOORS: Final = ("ssl", "_hashlib")
"""The modules by which Python reaches OpenSSL."""


_M_ARENA_MAX: Final = -8
"""In glibc's malloc.h."""


def with_one_heap() -> None:
    """Let all threads that begin from now on allocate from one heap. A C library that cannot be told so
    (musl) has no such heaps either."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)


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
