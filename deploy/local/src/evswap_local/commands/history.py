"""``evswap compact`` and ``evswap query``: the running stack's whole history."""

import argparse

from evswap_cloud.history_commands import report_compaction, report_query
from evswap_local.context import Context


def run_compact(context: Context, options: argparse.Namespace) -> int:
    """Makes Parquet of the running stack's raw archive."""
    settings, _described = context.demand_running()
    clients = context.clients(settings)
    values = context.source(clients).values
    return report_compaction(
        options, clients.s3, archive=values.archive_bucket, compacted=values.compacted_bucket
    )


def run_query(context: Context, options: argparse.Namespace) -> int:
    """Asks what the running stack has kept."""
    settings, _described = context.demand_running()
    clients = context.clients(settings)
    values = context.source(clients).values
    return report_query(
        options,
        clients.s3,
        archive=values.archive_bucket,
        compacted=values.compacted_bucket,
        kept=context.state.history,
    )
