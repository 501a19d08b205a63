"""The tests of a station on a bench, and where they are."""

from pathlib import Path
from typing import Final

from evswap_hil.requirements import Suite

HERE: Final = Path(__file__).parent
SETTINGS: Final = HERE / "pytest.ini"


def folder(suite: Suite) -> Path:
    """Where the tests of a suite are."""
    return HERE / suite.value
