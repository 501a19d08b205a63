"""The whole stack, in the order in which its parts need each other."""

from collections.abc import Callable, Iterator
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from evswap_local.clients import Clients
from evswap_local.errors import BadStack
from evswap_local.stack.api import apply_api
from evswap_local.stack.buckets import apply_buckets
from evswap_local.stack.change import Change
from evswap_local.stack.functions import apply_functions
from evswap_local.stack.identity import apply_identity
from evswap_local.stack.live import apply_live
from evswap_local.stack.provisioning import apply_provisioning
from evswap_local.stack.queues import apply_queues
from evswap_local.stack.roles import apply_roles
from evswap_local.stack.rules import apply_rules
from evswap_local.stack.schedules import apply_schedules
from evswap_local.stack.source import Source
from evswap_local.stack.tables import apply_tables
from evswap_local.stack.things import apply_things

Step = Callable[[Clients, Source], Iterator[Change]]


def apply_stack(clients: Clients, source: Source, package: Path) -> Iterator[Change]:
    """Applies everything; ``package`` is the functions' zip. Raises BadStack naming the part that failed."""

    def functions(clients: Clients, source: Source) -> Iterator[Change]:
        return apply_functions(clients, source, package)

    steps: dict[str, Step] = {
        "tables": apply_tables,
        "buckets": apply_buckets,
        "queues": apply_queues,
        "roles": apply_roles,
        "functions": functions,
        "rules": apply_rules,
        "schedules": apply_schedules,
        "things": apply_things,
        "provisioning": apply_provisioning,
        "identity": apply_identity,
        "API": apply_api,
        "live updates": apply_live,
    }
    for part, step in steps.items():
        try:
            yield from step(clients, source)
        except (BotoCoreError, ClientError) as error:
            raise BadStack(f"the {part} of the stack", str(error)) from error
        except KeyError as error:
            raise BadStack(
                f"the {part} of the stack", f"the key {error} is missing in cloud/stack"
            ) from error
