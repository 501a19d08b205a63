"""What is installed is what was locked: hashed, the same everywhere, from no registry in particular."""

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
LOCKED = sorted(REQUIREMENTS.glob("*.txt"))
TESTED_TOGETHER = REQUIREMENTS / "dev.txt"
ON_ITS_OWN = {"dev.txt", "ministack.txt"}
WITH_TOOLS_OF_ITS_OWN = {"bench.txt"}


def packages(file):
    """Name -> pinned version and markers."""
    pins = re.findall(r"^([a-z0-9._-]+)==([^ \\]+)", file.read_text(), re.MULTILINE)
    return dict(pins)


def test_every_environment_is_locked():
    declared = {file.stem for file in REQUIREMENTS.glob("*.in")} - {"pins", "test"}
    assert {file.stem for file in LOCKED} == declared


@pytest.mark.parametrize("file", LOCKED, ids=lambda file: file.stem)
def test_every_package_is_pinned_and_hashed(file):
    requirements = file.read_text().replace("\\\n", " ").splitlines()
    assert requirements
    assert [line for line in requirements if not re.match(r"[a-z0-9._-]+==\S+ .*--hash=sha256:", line)] == []


@pytest.mark.parametrize("file", sorted(REQUIREMENTS.iterdir()), ids=lambda file: file.name)
def test_no_file_names_a_registry(file):
    assert not re.search(r"https?://|file:|--(extra-)?index|--find-links|@ ", file.read_text())


@pytest.mark.parametrize(
    "file", [file for file in LOCKED if file.name not in ON_ITS_OWN], ids=lambda file: file.stem
)
def test_what_is_tested_alone_is_what_is_tested_together(file):
    together = packages(TESTED_TOGETHER)
    alone = packages(file)
    own_tools = alone.keys() - together.keys() if file.name in WITH_TOOLS_OF_ITS_OWN else set()
    differing = {name for name, version in alone.items() if together.get(name) != version}
    assert differing == own_tools


def test_the_local_aws_and_its_client_have_one_sdk():
    local_aws = packages(REQUIREMENTS / "ministack.txt")
    client = packages(REQUIREMENTS / "local.txt")
    assert (local_aws["boto3"], local_aws["botocore"]) == (client["boto3"], client["botocore"])


@pytest.mark.parametrize(
    ("environment", "absent"),
    [
        ("shared", {"boto3", "awsiotsdk", "paho-mqtt"}),
        ("edge", {"boto3", "botocore", "aws-lambda-powertools"}),
        ("hil", {"boto3", "botocore", "awsiotsdk"}),
        ("cloud", {"awsiotsdk", "awscrt"}),
        ("lambda", {"boto3", "botocore", "awsiotsdk", "pytest"}),
        ("station", {"boto3", "botocore", "pytest", "hatchling"}),
        ("bench", {"boto3", "botocore", "awsiotsdk", "pyserial"}),
    ],
)
def test_no_environment_has_the_libraries_of_another(environment, absent):
    assert absent.isdisjoint(packages(REQUIREMENTS / f"{environment}.txt"))
