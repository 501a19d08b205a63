"""Applies ``cloud/terraform`` to the local AWS: what ``evswap_local.stack`` makes, by the code for AWS.

The configuration runs as it stands; what the local AWS cannot have of it is left out by the one list
``cloud/terraform/local.yaml``. Nothing is written into the checkout: Terraform works on a copy in the state
folder.
"""
