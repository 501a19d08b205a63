"""S3 buckets, from buckets.yaml."""

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from evswap_local.clients import Clients
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.source import Source

FILE = "buckets.yaml"


def apply_buckets(clients: Clients, source: Source) -> Iterator[Change]:
    """Makes the buckets private, versioned, encrypted, and tidied by their lifecycle."""
    for bucket in source.yaml(FILE).values():
        yield Change("bucket", bucket["name"], _apply(clients, bucket))


def _apply(clients: Clients, bucket: dict[str, Any]) -> Outcome:
    created = _create(clients, bucket)
    changed = [
        _keep_versions(clients, bucket),
        _keep_private(clients, bucket),
        _keep_encrypted(clients, bucket),
        _keep_lifecycle(clients, bucket),
    ]
    if created:
        return Outcome.CREATED
    return Outcome.UPDATED if any(changed) else Outcome.UNCHANGED


def _create(clients: Clients, bucket: dict[str, Any]) -> bool:
    try:
        clients.s3.head_bucket(Bucket=bucket["name"])
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
    else:
        return False
    clients.s3.create_bucket(Bucket=bucket["name"], ObjectOwnership=bucket["object_ownership"])
    return True


def _keep_versions(clients: Clients, bucket: dict[str, Any]) -> bool:
    wanted = bool(bucket["versioning"])
    if (clients.s3.get_bucket_versioning(Bucket=bucket["name"]).get("Status") == "Enabled") == wanted:
        return False
    clients.s3.put_bucket_versioning(
        Bucket=bucket["name"],
        VersioningConfiguration={"Status": "Enabled" if wanted else "Suspended"},
    )
    return True


def _keep_private(clients: Clients, bucket: dict[str, Any]) -> bool:
    block = bucket["public_access_block"]
    wanted = {
        "BlockPublicAcls": block["block_public_acls"],
        "IgnorePublicAcls": block["ignore_public_acls"],
        "BlockPublicPolicy": block["block_public_policy"],
        "RestrictPublicBuckets": block["restrict_public_buckets"],
    }
    try:
        found = clients.s3.get_public_access_block(Bucket=bucket["name"])["PublicAccessBlockConfiguration"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchPublicAccessBlockConfiguration":
            raise
        found = {}
    if found == wanted:
        return False
    clients.s3.put_public_access_block(
        Bucket=bucket["name"],
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": wanted["BlockPublicAcls"],
            "IgnorePublicAcls": wanted["IgnorePublicAcls"],
            "BlockPublicPolicy": wanted["BlockPublicPolicy"],
            "RestrictPublicBuckets": wanted["RestrictPublicBuckets"],
        },
    )
    return True


def _keep_encrypted(clients: Clients, bucket: dict[str, Any]) -> bool:
    algorithm = bucket["encryption"]
    try:
        rules = clients.s3.get_bucket_encryption(Bucket=bucket["name"])["ServerSideEncryptionConfiguration"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ServerSideEncryptionConfigurationNotFoundError":
            raise
    else:
        found = [rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] for rule in rules["Rules"]]
        if found == [algorithm]:
            return False
    clients.s3.put_bucket_encryption(
        Bucket=bucket["name"],
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}}]
        },
    )
    return True


def _keep_lifecycle(clients: Clients, bucket: dict[str, Any]) -> bool:
    wanted = [_lifecycle_rule(rule) for rule in bucket.get("lifecycle", [])]
    try:
        found = clients.s3.get_bucket_lifecycle_configuration(Bucket=bucket["name"])["Rules"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
            raise
        found = []
    if {rule.get("ID") for rule in found} == {rule["ID"] for rule in wanted}:
        return False
    clients.s3.put_bucket_lifecycle_configuration(
        Bucket=bucket["name"], LifecycleConfiguration={"Rules": wanted}
    )
    return True


def _lifecycle_rule(rule: dict[str, Any]) -> Any:
    made: dict[str, Any] = {"ID": rule["id"], "Status": "Enabled", "Filter": _lifecycle_filter(rule)}
    if "transition_days" in rule:
        made["Transitions"] = [{"Days": rule["transition_days"], "StorageClass": rule["storage_class"]}]
    if "expiration_days" in rule:
        made["Expiration"] = {"Days": rule["expiration_days"]}
    if "noncurrent_expiration_days" in rule:
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": rule["noncurrent_expiration_days"]}
    if "abort_incomplete_upload_days" in rule:
        made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": rule["abort_incomplete_upload_days"]}
    return made


def _lifecycle_filter(rule: dict[str, Any]) -> Any:
    if "minimum_bytes" not in rule:
        return {"Prefix": rule["prefix"]}
    return {"And": {"Prefix": rule["prefix"], "ObjectSizeGreaterThan": rule["minimum_bytes"] - 1}}
