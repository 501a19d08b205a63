"""The pages name only what exists."""

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
FOLDERS = ("docs", "shared", "edge", "cloud", "deploy", "hil")
PAGES = sorted(
    [*CHECKOUT.glob("*.md"), *(page for name in FOLDERS for page in CHECKOUT.glob(f"{name}/**/*.md"))]
)

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
TARGET = re.compile(r"(?:`|\$ )make ([a-z0-9-]+)")


@cache
def make_targets():
    """All targets, those that make works out from a list too."""
    database = subprocess.run(
        ["make", "-pRrq", "help"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    return set(re.findall(r"^([a-z0-9-]+):", database.stdout, re.MULTILINE))


def page_name(page):
    return str(page.relative_to(CHECKOUT))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_link_leads_somewhere(page):
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_make_target_exists(page):
    assert set(TARGET.findall(page.read_text())) <= make_targets()


def requirements_of(project):
    metadata = tomllib.loads(project.read_text())["project"]
    extras = metadata.get("optional-dependencies", {})
    return [*metadata["dependencies"], *(each for extra in extras.values() for each in extra)]


def test_the_index_lists_every_page():
    index = LINK.findall((CHECKOUT / "docs" / "README.md").read_text())
    assert {page.name for page in (CHECKOUT / "docs").glob("*.md")} - {"README.md"} <= set(index)


def test_every_suite_has_its_row():
    suites = {
        f"tests/{folder.name}" for folder in (CHECKOUT / "tests").iterdir() if any(folder.glob("test_*.py"))
    }
    rows = (CHECKOUT / "docs" / "testing.md").read_text()
    assert [suite for suite in sorted(suites) if f"| `{suite}` |" not in rows] == []


def test_every_suite_is_run_by_make_test_or_before_a_release():
    environments = (CHECKOUT / "tox.ini").read_text()
    folders = {folder.name for folder in (CHECKOUT / "tests").iterdir() if any(folder.glob("test_*.py"))}
    of_a_distribution = {"shared", "edge", "cloud", "hil"}
    assert [name for name in folders - of_a_distribution if f"tests/{name}" not in environments] == []
    (named,) = re.findall(r"^env_list = (.*)$", environments, re.MULTILINE)
    makefile = (CHECKOUT / "Makefile").read_text()
    run = re.findall(r"^(?:LONG_)?SUITES := (.*)$", makefile, re.MULTILINE)
    assert sorted(" ".join(run).split()) == sorted(named.split(", "))
    assert re.search(r"^release: test \$\(LONG_SUITES\) ", makefile, re.MULTILINE)


def test_every_library_of_the_product_has_its_row():
    rows = (CHECKOUT / "docs" / "libraries.md").read_text().lower()
    projects = [
        CHECKOUT / name / "pyproject.toml" for name in ("shared", "edge", "cloud", "deploy/local", "hil")
    ]
    wanted = {
        re.split(r"[<>=\[;]", requirement)[0]
        for project in projects
        for requirement in requirements_of(project)
    }
    assert [
        name for name in sorted(wanted) if not name.startswith("evswap") and f"| {name}" not in rows
    ] == []
