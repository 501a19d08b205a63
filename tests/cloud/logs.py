"""A logger whose lines a test can read. powertools keeps one for each service name, hence the numbers."""

import io
import json
from itertools import count
from typing import Any

from aws_lambda_powertools import Logger

_numbers = count()


class Log:
    """``logger`` writes to ``lines``."""

    def __init__(self, level: str = "INFO") -> None:
        self._stream = io.StringIO()
        self.logger = Logger(service=f"test-{next(_numbers)}", level=level, stream=self._stream)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]
