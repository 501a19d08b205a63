"""What the nucleus takes from a component's recipe."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from evswap_edge.emulators import EmulatorError


@dataclass(frozen=True, slots=True)
class Recipe:
    """The component's name, and the configuration that it has when nobody deploys another."""

    component: str
    default_configuration: dict[str, Any]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe in YAML or JSON. Raises ``EmulatorError``."""
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EmulatorError(f"{path}: cannot be read ({error.strerror}); name a recipe.yaml") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EmulatorError(f"{path}: is no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(recipe, dict) or not isinstance(recipe.get("ComponentName"), str):
        raise EmulatorError(f"{path}: has no ComponentName; is it a recipe? Keys are case-sensitive")
    configuration = (recipe.get("ComponentConfiguration") or {}).get("DefaultConfiguration") or {}
    return Recipe(recipe["ComponentName"], configuration)
