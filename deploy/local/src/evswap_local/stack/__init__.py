"""Applies ``cloud/stack`` to the local AWS with boto3: one module a kind of resource.

Each ``apply_*`` function makes what is missing, corrects what differs, leaves alone what is right, and yields
a ``Change`` for each resource, so that applying twice changes nothing the second time.
"""
