"""What whoever runs a bench may set, and a bench's YAML need not know.

`evswap-hil run` puts its options here; a run by plain pytest takes them from the YAML's `options` and
`tools`, or goes by the defaults.
"""

import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from evswap_hil.programs import Program
from evswap_hil.stack import Stack, read_stack

STACK_FILE: Final = "stack_file"
LOGS: Final = "logs"


class Settings:
    """The settings of the environment that `target` belongs to."""

    def __init__(self, target: Any) -> None:
        self._config = target.env.config

    def stack_file(self, default: str) -> Path:
        """The stack's description."""
        return Path(self._config.get_option(STACK_FILE, default))

    def stack(self, default: str) -> Stack:
        """The stack. Raises StackFileError."""
        return read_stack(self.stack_file(default))

    def program(self, program: Program) -> Path:
        """A program's file. Raises ProgramMissing."""
        named = self._config.get_tool(program.name)
        return program.find(None if named == program.name else named)

    def log(self, name: str) -> Path:
        """The file that the log of `name` belongs into."""
        folder = self._config.get_option(LOGS, "reports/hil/logs")
        return Path(folder).absolute() / f"{name}.log"

    def file_or_name(self, text: str) -> str:
        """A file beside the YAML as its whole path; a mere name as it is."""
        is_file = "/" in text or Path(text).suffix in {".yaml", ".yml"}
        return str(self._config.resolve_path(text)) if is_file else text


class Scratch:
    """A folder for what nobody reads afterwards, made when it is first asked for."""

    @cached_property
    def _folder(self) -> "tempfile.TemporaryDirectory[str]":
        return tempfile.TemporaryDirectory(prefix="evswap-hil-")

    @property
    def path(self) -> Path:
        return Path(self._folder.name)

    def discard(self) -> None:
        """Safe where it was never made."""
        if "_folder" in self.__dict__:
            self._folder.cleanup()
            del self._folder
