"""How a command ends."""

from typing import Final

PASSED: Final = 0
FAILED: Final = 1
UNUSABLE: Final = 2


class Unusable(Exception):
    """The command could not begin, or could not leave its report; the text says what mends it."""
