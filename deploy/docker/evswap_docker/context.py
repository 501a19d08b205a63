"""The folders that the images are built from: what the Dockerfiles copy, and nothing else."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evswap_docker.settings import FOLDER, ROOT
from evswap_docker.wheels import Target, build_own, keep_wheels

ABANDONED_S = 3600


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """An image: the requirements and distributions inside, and other files of the checkout."""

    name: str
    requirements: tuple[str, ...]
    distributions: tuple[str, ...]
    entrypoint: str
    folders: tuple[str, ...] = ()


STATION = Recipe(
    name="station",
    requirements=("station.txt",),
    distributions=("shared", "edge"),
    entrypoint="station.py",
)
AWS = Recipe(
    name="aws",
    requirements=("local.txt", "ministack.txt", "lambda.txt"),
    distributions=("shared", "edge", "cloud", "deploy/local"),
    entrypoint="aws.py",
    folders=("cloud/stack",),
)
RECIPES = {recipe.name: recipe for recipe in (AWS, STATION)}


@contextmanager
def context_of(recipe: Recipe, target: Target, cache: Path) -> Iterator[Path]:
    """A folder to build in, gone afterwards; raises WheelsMissing."""
    cache.mkdir(parents=True, exist_ok=True)
    sweep(cache)
    with tempfile.TemporaryDirectory(dir=cache, prefix=f".{recipe.name}-") as folder:
        fill(Path(folder), recipe, target, cache)
        yield Path(folder)


def sweep(cache: Path, *, now: float | None = None) -> None:
    """Removes the drafts of builds that were killed; no build that goes on is that old."""
    oldest = (now or time.time()) - ABANDONED_S
    for draft in cache.glob(".*-*"):
        if draft.stat().st_mtime < oldest:
            shutil.rmtree(draft, ignore_errors=True)


def wheels_of(recipe: Recipe, target: Target, cache: Path) -> Path:
    """The libraries of an image, fetched unless they are in the cache; raises WheelsMissing."""
    return keep_wheels(cache, target, [ROOT / "requirements" / name for name in recipe.requirements])


def fill(folder: Path, recipe: Recipe, target: Target, cache: Path) -> None:
    """Puts everything that the Dockerfile copies into ``folder``; raises WheelsMissing."""
    wheels = wheels_of(recipe, target, cache)
    shutil.copytree(wheels, folder / "wheels", copy_function=_link_or_copy)
    build_own(recipe.distributions, folder / "own")
    (folder / "requirements").mkdir()
    for name in recipe.requirements:
        shutil.copy(ROOT / "requirements" / name, folder / "requirements")
    for name in recipe.folders:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(FOLDER / "evswap_docker" / recipe.entrypoint, folder)
    shutil.copy(FOLDER / f"{recipe.name}.Dockerfile", folder / "Dockerfile")


def _link_or_copy(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
