"""Chance that can be told again: a stream of its own for each part of the story.

A part that draws more or less often, because the station was told something, moves no other part: what is
done with a bay changes neither the weather nor who comes.
"""

from random import Random

Chance = Random


def stream(seed: str, part: str) -> Chance:
    """The stream of ``part`` in the story ``seed``. Python seeds by the text's SHA-512, the same on every
    machine and in every process."""
    return Random(f"{seed}/{part}")  # noqa: S311 - a story that can be told again, not a secret
