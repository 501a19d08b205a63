"""What holds of every structure that is made of a file or a message."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
from msgspec import Struct
from msgspec import inspect as msgspec_inspect

import evswap_edge
import evswap_schema

Kind = msgspec_inspect.Type


def structures() -> list[type[Struct]]:
    """All structures that a field of a message or of a configuration can be."""
    found = {
        value
        for package in (evswap_edge, evswap_schema)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.name.endswith("__main__")
        for value in vars(importlib.import_module(module.name)).values()
        if inspect.isclass(value) and issubclass(value, Struct) and value is not Struct
    }
    return sorted(found, key=lambda kind: (kind.__module__, kind.__qualname__))


def fields(kind: type[Struct]) -> tuple[msgspec_inspect.Field, ...]:
    """None where it is never decoded, and therefore may hold what msgspec cannot decode."""
    try:
        info = msgspec_inspect.type_info(kind)
    except TypeError:
        return ()
    assert isinstance(info, msgspec_inspect.StructType)
    return info.fields


def unions(kind: Kind) -> Iterator[msgspec_inspect.UnionType]:
    if isinstance(kind, msgspec_inspect.UnionType):
        yield kind
        for member in kind.types:
            yield from unions(member)
    for part in ("item_type", "key_type", "value_type"):
        if isinstance(inner := getattr(kind, part, None), Kind):
            yield from unions(inner)


def crashes(union: msgspec_inspect.UnionType) -> bool:
    """Whether msgspec frees what is not its own when it lets go of this union: in 0.22 it miscounts what
    belongs to a string's pattern where another member has parts of its own too."""
    patterned = any(isinstance(member, msgspec_inspect.StrType) and member.pattern for member in union.types)
    plain = (
        msgspec_inspect.StrType,
        msgspec_inspect.IntType,
        msgspec_inspect.FloatType,
        msgspec_inspect.BoolType,
        msgspec_inspect.NoneType,
    )
    return patterned and not all(isinstance(member, plain) for member in union.types)


@pytest.mark.parametrize("kind", structures(), ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_no_pattern_stands_where_it_brings_the_process_down(kind: type[Struct]) -> None:
    assert [field.name for field in fields(kind) if any(map(crashes, unions(field.type)))] == []


def test_the_rule_finds_what_it_is_for() -> None:
    """Made by hand: the real union would bring this process down."""
    text, number = msgspec_inspect.StrType(pattern="x"), msgspec_inspect.IntType()
    bad = msgspec_inspect.UnionType((text, msgspec_inspect.VarTupleType(number)))
    assert [crashes(union) for union in unions(bad)] == [True]
    assert [crashes(union) for union in unions(msgspec_inspect.DictType(text, bad))] == [True]
    assert not crashes(msgspec_inspect.UnionType((text, number, msgspec_inspect.NoneType())))
