"""A configuration file, and what is said of one that is wrong."""

from pathlib import Path

import pytest

from evswap_edge.config import read_any
from evswap_edge.documents import ConfigurationError


def refusal(file: Path, text: str) -> ConfigurationError:
    """How a file with this text is refused; that it is not fails the test."""
    file.write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        read_any(file)
    return refused.value
