"""Read a YAML file strictly and remember on which line each value stands.

Errors name file, line and key, and the nearest valid name where a name is wrong.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar, get_args, get_type_hints

import msgspec
import yaml
from msgspec import Struct

SettingsT = TypeVar("SettingsT", bound=Struct)
KeyPath = tuple[str | int, ...]

_COMPLAINT: Final = re.compile(r"^(?P<rule>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_MISSING: Final = re.compile(r"^Object missing required field `(?P<name>.*)`$")


class ConfigurationError(Exception):
    """A configuration that cannot be used.

    ``key`` is the path of the key at fault (empty: the whole file), ``nearest`` the valid name that may be
    meant.
    """

    def __init__(
        self, *, file: Path, line: int | None, key: str, problem: str, nearest: str | None = None
    ) -> None:
        self.file = file
        self.line = line
        self.key = key
        self.problem = problem
        self.nearest = nearest
        place = f"{file}:{line}" if line else f"{file}"
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        super().__init__(f"{place}: {f'{key}: ' if key else ''}{problem}{hint}")


class NameOrFile:
    """Something that comes with the program and has a ``name``, or a ``file`` of the user's in its place.

    In YAML it is a string, a file when it has a folder or a suffix: ``sht20`` is a name, ``./sht20`` and
    ``mine.yaml`` are files.
    """

    # No dataclass: msgspec would expect a mapping for one.
    def __init__(self, name: str, file: Path | None = None) -> None:
        self.name = name
        self.file = file

    @classmethod
    def parse(cls, text: str, *, folder: Path) -> "NameOrFile":
        """A file's path is relative to ``folder``."""
        path = Path(text).expanduser()
        is_file = "/" in text or bool(path.suffix)
        return cls(name=path.stem, file=folder / path) if is_file else cls(name=text)

    def __str__(self) -> str:
        return str(self.file or self.name)


class Document:
    """One parsed file: plain ``data``, and the line of each key."""

    _strict: ClassVar[bool] = True

    def __init__(self, file: Path) -> None:
        """Read ``file``. Raises ``ConfigurationError``."""
        self.file = file
        self._lines: dict[KeyPath, int] = {}
        self.data = self._parse(_text(file))

    def error(self, key: KeyPath, problem: str, *, nearest: str | None = None) -> ConfigurationError:
        """An error at ``key``, on its line or on that of the section in which it should stand."""
        return ConfigurationError(
            file=self.file, line=self._line(key), key=dotted(key), problem=problem, nearest=nearest
        )

    def convert(self, section: Any, kind: type[SettingsT], *, at: KeyPath = ()) -> SettingsT:
        """Make ``kind`` of ``section``, which stands at ``at``. Relative paths become relative to the
        file's folder, also those in a ``NameOrFile``.

        Raises ``ConfigurationError``.
        """
        self._refuse_unknown(section, kind, at)
        try:
            return msgspec.convert(section, kind, dec_hook=self._resolve, strict=self._strict)
        except msgspec.ValidationError as error:
            raise self._translated(str(error), section, at) from error

    def _resolve(self, kind: type, value: Any) -> Any:
        if kind is NameOrFile and isinstance(value, str):
            return NameOrFile.parse(value, folder=self.file.parent)
        if kind is not Path or not isinstance(value, str):
            raise ValueError(f"Expected a path, got `{type(value).__name__}`")
        return self.file.parent / Path(value).expanduser()

    def _translated(self, complaint: str, section: Any, at: KeyPath) -> ConfigurationError:
        """msgspec names rule and path; add the line and what was found."""
        match = _COMPLAINT.match(complaint)
        rule, path = (match["rule"], match["path"] or "") if match else (complaint, "")
        steps: KeyPath = tuple(name or int(index) for name, index in _STEP.findall(path))
        if missing := _MISSING.match(rule):
            return self.error((*at, *steps, missing["name"]), "is missing")
        found = _value_at(section, steps)
        rule = rule.replace("`", "")
        return self.error((*at, *steps), f"{rule[:1].lower()}{rule[1:]}; found {found!r:.60}")

    def _refuse_unknown(self, section: Any, kind: type, at: KeyPath) -> None:
        if not isinstance(section, Mapping):
            return
        fields = get_type_hints(kind)
        for name, value in section.items():
            if name not in fields:
                raise self.unknown((*at, name), fields)
            for section_kind in _structs(fields[name]):
                self._refuse_unknown(value, section_kind, (*at, name))

    def unknown(self, key: KeyPath, known: Iterable[str]) -> ConfigurationError:
        """The last name of ``key`` is none of ``known``."""
        names = sorted(known)
        nearest = next(iter(get_close_matches(str(key[-1]), names, n=1)), None)
        return self.error(key, f"unknown key; known are {', '.join(names)}", nearest=nearest)

    def _line(self, key: KeyPath) -> int | None:
        return next((self._lines[key[:n]] for n in range(len(key), -1, -1) if key[:n] in self._lines), None)

    # --- YAML -------------------------------------------------------------------------------------------

    def _parse(self, text: str) -> Any:
        try:
            loader = yaml.SafeLoader(text)
            root = loader.get_single_node()
            return {} if root is None else self._value(loader, root, (), ())
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else None
            problem = f"is no valid YAML: {error.problem}"
            raise ConfigurationError(file=self.file, line=line, key="", problem=problem) from error
        except yaml.YAMLError as error:
            problem = f"is no valid YAML: {' '.join(str(error).split())}"
            raise ConfigurationError(file=self.file, line=None, key="", problem=problem) from error

    def _value(
        self, loader: yaml.SafeLoader, node: yaml.Node, at: KeyPath, around: tuple[yaml.Node, ...]
    ) -> Any:
        """The plain value of ``node``, which stands at ``at`` inside the nodes ``around``."""
        self._lines.setdefault(at, node.start_mark.line + 1)
        if node in around:
            raise self.error(at, "cannot stand inside itself")
        around = (*around, node)
        match node:
            case yaml.MappingNode():
                return self._mapping(loader, node, at, around)
            case yaml.SequenceNode():
                return [self._value(loader, item, (*at, n), around) for n, item in enumerate(node.value)]
        return loader.construct_object(node)

    def _mapping(
        self, loader: yaml.SafeLoader, node: yaml.MappingNode, at: KeyPath, around: tuple[yaml.Node, ...]
    ) -> dict[str, Any]:
        """YAML lets the last of two equal keys win; somebody would look for the other one for a long time."""
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node))
            if key in mapping:
                first = self._lines[*at, key]
                line = key_node.start_mark.line + 1
                problem = f"stands here a second time (first on line {first})"
                raise ConfigurationError(file=self.file, line=line, key=dotted((*at, key)), problem=problem)
            self._lines[*at, key] = key_node.start_mark.line + 1
            mapping[key] = self._value(loader, value_node, (*at, key), around)
        return mapping


class GivenDocument(Document):
    """Settings that somebody else has parsed; ``source`` says who, and stands in errors where a file would.

    Numbers and truth values may come as text there ('5'). Relative paths are relative to the working
    directory.
    """

    _strict = False

    def __init__(self, data: Any, *, source: str) -> None:
        self.file = Path(source)
        self._lines = {}
        self.data = data


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(file=file, line=None, key="", problem="does not exist") from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise ConfigurationError(file=file, line=None, key="", problem=problem) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(file=file, line=None, key="", problem="is not UTF-8") from error


def _structs(hint: Any) -> list[type]:
    """The struct that ``hint`` is, or those among its alternatives."""
    return [
        kind for kind in (get_args(hint) or (hint,)) if isinstance(kind, type) and issubclass(kind, Struct)
    ]


def _value_at(section: Any, steps: KeyPath) -> Any:
    for step in steps:
        section = section[step]
    return section


def dotted(key: KeyPath) -> str:
    """As people write a key: ``driver.locks[0].pins``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in key).removeprefix(".")
