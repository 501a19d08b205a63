"""Functions that are called by an alias.

ministack 1.5.33 knows a function's reserved concurrency by its unpublished version alone: what is called by a
version or an alias starts a worker process for every call that finds the others at work. On AWS all versions
share what the function reserves; here they do too.
"""

import importlib
from typing import Any


def reserve_for_every_version() -> None:
    """Replaces what says how many calls of a function run at once."""
    functions: Any = importlib.import_module("ministack.services.lambda_svc")
    reserved = functions._reserved_concurrency

    def of_the_function(function: Any, config: Any) -> int | None:
        own: int | None = reserved(function, config)
        if own is not None:
            return own
        primary, _config, _name = functions._get_func_record_for_ref(config.get("FunctionName", ""))
        found: int | None = reserved(primary or {}, config)
        return found

    functions._reserved_concurrency = of_the_function
