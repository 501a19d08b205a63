"""What there is to ask for, and how: the methods of each path."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Resource:
    """The paths of ``template``, as ``/stations/<station_id>``. OPTIONS, and HEAD with GET, go unsaid."""

    template: str
    methods: tuple[str, ...] = ("GET",)

    @property
    def allowed(self) -> str:
        """As the headers ``Allow`` and ``Access-Control-Allow-Methods`` have it."""
        head = ("HEAD",) if "GET" in self.methods else ()
        return ",".join((*self.methods, *head, "OPTIONS"))

    def is_at(self, path: str) -> bool:
        """Whether ``path`` is one of this resource's."""
        return re.fullmatch(re.sub(r"<\w+>", "[^/]+", self.template), path) is not None
