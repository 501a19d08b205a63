"""What tflint's own rules ask of Terraform, and of what checkov is told to pass over, by the text alone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terraform.tool import CONFIGURATION

MODULES = [CONFIGURATION, *sorted(path for path in (CONFIGURATION / "modules").iterdir() if path.is_dir())]
BLOCK = re.compile(
    r'^(variable|output|resource|data|module) "([^"]+)"(?: "([^"]+)")? \{\n(.*?)^\}', re.M | re.S
)
SKIP = re.compile(r"#checkov:skip=(CKV2?_AWS_\d+)(?::(.*))?")
SNAKE = re.compile(r"[a-z][a-z0-9_]*")


def text(module: Path) -> str:
    return "\n".join(file.read_text() for file in sorted(module.glob("*.tf")))


def blocks(module: Path) -> Iterator[tuple[str, str, str]]:
    """Kind, name and body of each block, without the fixed kinds of resources."""
    for kind, first, second, body in BLOCK.findall(text(module)):
        yield kind, second or first, body


def named(module: Path, kind: str) -> dict[str, str]:
    return {name: body for each, name, body in blocks(module) if each == kind}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
class TestModule:
    """Each module by itself."""

    def test_variables_are_typed_described_and_used(self, module: Path) -> None:
        for name, body in named(module, "variable").items():
            assert "type " in body, name
            assert "description" in body, name
            assert re.search(rf"\bvar\.{name}\b", text(module)), f"{name} is used"

    def test_outputs_are_described(self, module: Path) -> None:
        assert [name for name, body in named(module, "output").items() if "description" not in body] == []

    def test_what_is_declared_is_used(self, module: Path) -> None:
        written = text(module)
        for body in re.findall(r"^locals \{\n(.*?)^\}", written, re.M | re.S):
            for name in re.findall(r"^  ([a-z_]+) +=(?!>)", body, re.M):
                assert re.search(rf"\blocal\.{name}\b", written), f"{name} is used"
        for kind, first, second, _body in BLOCK.findall(written):
            if kind == "data":
                assert f"data.{first}.{second}" in written

    def test_names_are_in_snake_case(self, module: Path) -> None:
        assert [name for _kind, name, _body in blocks(module) if not SNAKE.fullmatch(name)] == []

    def test_comments_begin_with_a_hash(self, module: Path) -> None:
        assert not re.search(r"^\s*(//|/\*)", text(module), re.M)

    def test_what_checkov_passes_over_has_a_reason(self, module: Path) -> None:
        for check, reason in SKIP.findall(text(module)):
            assert len(reason.split()) >= 5, check


def test_versions_are_pinned() -> None:
    written = text(CONFIGURATION)
    assert re.search(r"required_version = \"", written)
    assert re.search(r"version = \"\d+\.\d+\.\d+\"", written)


def test_modules_are_our_own() -> None:
    sources = re.findall(r"^\s*source\s+= \"([^\"]+)\"", text(CONFIGURATION), re.M)
    assert [source for source in sources if not source.startswith("./modules/")] == ["hashicorp/aws"]
