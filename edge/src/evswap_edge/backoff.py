"""How long to wait before trying again."""

import random


class Backoff:
    """Exponential backoff with full jitter: a random time between nothing and a ceiling that doubles.

    The jitter keeps a thousand stations that lost the same broker from coming back in step. After
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
    """

    def __init__(self, *, base_s: float, cap_s: float, chance: random.Random | None = None) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        self._ceiling_s = base_s

    def next_s(self) -> float:
        """The seconds to wait now; the ceiling of the next wait is twice as high, up to ``cap_s``."""
        wait_s = self._chance.uniform(0, self._ceiling_s)
        self._ceiling_s = min(self._ceiling_s * 2, self._cap_s)
        return wait_s

    def reset(self) -> None:
        """It worked: begin with the shortest wait the next time."""
        self._ceiling_s = self._base_s
