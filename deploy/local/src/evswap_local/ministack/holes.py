"""What ministack 1.5.33 leaves open although ``AUTH=true``, and how it is closed from inside its process.

no certificate
    The MQTT listener takes clients without one, as root. Mended: the TLS context demands a certificate.
every interface
    The MQTT listener binds 0.0.0.0 whatever BIND_HOST says. Mended: it is bound to the given host.
root without a secret
    The keys ``test``, any account number and the configured key are root, their signatures unchecked.
    Mended: only the configured key is root, and its signature is verified like any other.
streams without end
    A table's stream is kept for a day, in memory: gigabytes. Mended: for minutes, as its readers are here.
guessable roles
    A function's credentials are a hash of public names. Mended: they are random.

The HTTP side's own holes are closed by ``gate``. All of this replaces functions by their name, so ``missing``
says first whether the names are still there, and ``proofs`` afterwards whether the effect is.
"""

import asyncio
import importlib
import secrets
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

MENDED: dict[str, tuple[str, ...]] = {
    "ministack.app": (
        "app",
        "_build_persistence_save_dict",
        "save_all",
    ),
    "ministack.services.iot": (
        "_mtls_build_ssl_context",
        "_mtls_start_locked",
        "_mtls_server",
        "_mtls_loop",
        "_mtls_port",
        "_mtls_resolve_identity",
        "_mtls_sessions",
        "_certificates",
        "_MtlsAcceptor",
        "mtls_stop",
        "mtls_is_listening",
        "_parse_fleet_provisioning_topic",
        "_fleet_provisioning_reply",
        "_fleet_rejected",
        "_ownership_tokens",
        "_drop_expired",
        "_OWNERSHIP_TOKEN_SECONDS",
        "_certificate_record",
        "_ensure_ca",
        "sign_certificate_request",
        "get_certificate_id",
        "request_scope",
        "_dispatch_rule_to_lambda",
    ),
    "ministack.core.iam_evaluator": (
        "is_root_access_key",
        "resolve_credential",
        "ResolvedCredential",
        "CredentialResolutionError",
    ),
    "ministack.core.lambda_runtime": (
        "execution_credentials",
        "_account_region_from_function_config",
        "reset",
    ),
    "ministack.services.lambda_svc": (
        "_poll_sqs",
        "_poll_kinesis",
        "_poll_dynamodb_streams",
        "_esm_inflight",
        "_get_func_record_for_ref",
        "_get_func_record_for_ref_in_scope",
        "_reserved_concurrency",
        "_execution_record_for_config",
        "_execute_function_with_config_scope",
        "_event_invoke_config",
        "_route_async_failure",
    ),
    "ministack.services.cloudwatch_logs": ("_log_groups",),
    "ministack.services.dynamodb": ("_STREAM_RETENTION_SECONDS",),
    "ministack.services.sts": ("register_session",),
}
"""Every name of ministack's that this package replaces or calls, by module."""


STREAM_S = 300


def missing() -> list[str]:
    """The names in MENDED that this ministack does not have: then it is another version."""
    gone: list[str] = []
    for module_name, names in MENDED.items():
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            gone.append(module_name)
            continue
        gone.extend(f"{module_name}.{name}" for name in names if not hasattr(module, name))
    return gone


def demand_client_certificates() -> None:
    """A client that shows no certificate fails in the TLS handshake, before any MQTT."""
    iot = _module("ministack.services.iot")
    build: Callable[[], ssl.SSLContext] = iot._mtls_build_ssl_context

    def with_certificate_required() -> ssl.SSLContext:
        context = build()
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    iot._mtls_build_ssl_context = with_certificate_required


@dataclass
class MqttListener:
    """What became of the MQTT listener; ministack itself only logs that it could not bind."""

    failure: OSError | None = None


def bind_mqtt_to(host: str) -> MqttListener:
    """The MQTT listener is bound to ``host``."""
    iot = _module("ministack.services.iot")
    listener = MqttListener()

    async def start_on_host() -> None:
        if iot._mtls_server is not None:
            return
        loop = asyncio.get_running_loop()
        try:
            iot._mtls_server = await loop.create_server(iot._MtlsAcceptor, host=host, port=iot._mtls_port())
        except OSError as error:
            listener.failure = error
            raise
        iot._mtls_loop = loop

    iot._mtls_start_locked = start_on_host
    return listener


def verify_root_signatures(access_key_id: str, secret_access_key: str) -> None:
    """Only ``access_key_id`` is root, and only when ``secret_access_key`` signed the request.

    An empty key stays root: it is how ministack's own parts (rules, integrations) call each other inside the
    process; over HTTP the gate lets no unsigned request come this far.
    """
    evaluator = _module("ministack.core.iam_evaluator")
    resolve = evaluator.resolve_credential
    account_id: str = _module("ministack.core.responses").get_account_id()

    def is_root(key: str) -> bool:
        return not key

    def resolve_with_root(key: str, account: str | None = None, *args: Any, **kwargs: Any) -> Any:
        if key != access_key_id:
            return resolve(key, account, *args, **kwargs)
        return evaluator.ResolvedCredential(
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            account_id=account_id,
            principal_arn=f"arn:aws:iam::{account_id}:root",
            principal_id=account_id,
            principal_type="Root",
            source_access_key_id=access_key_id,
        )

    _replace(evaluator.is_root_access_key, is_root)
    _replace(resolve, resolve_with_root)


def forget_streams() -> None:
    """A table's stream keeps what a reader that is busy or starts anew may have missed."""
    _module("ministack.services.dynamodb")._STREAM_RETENTION_SECONDS = STREAM_S


def randomise_function_credentials() -> None:
    """Each function's role session gets a random key, secret and token for the life of this process."""
    runtime, sts = _module("ministack.core.lambda_runtime"), _module("ministack.services.sts")
    issued: dict[tuple[str, str], dict[str, str]] = {}

    def random_credentials(config: dict[str, Any]) -> dict[str, str]:
        key = (config["FunctionArn"], config["Role"])
        if key not in issued:
            issued[key] = {
                "AWS_ACCESS_KEY_ID": f"ASIA{secrets.token_hex(8).upper()}",
                "AWS_SECRET_ACCESS_KEY": secrets.token_hex(32),
                "AWS_SESSION_TOKEN": secrets.token_hex(32),
            }
        sts.register_session(issued[key]["AWS_ACCESS_KEY_ID"], _role_session(config, issued[key]))
        return issued[key]

    def _role_session(config: dict[str, Any], credentials: dict[str, str]) -> dict[str, str]:
        account_id, _region = runtime._account_region_from_function_config(config)
        role, name = config["Role"].rsplit("/", 1)[-1], config["FunctionName"][:64]
        return {
            "Arn": f"arn:aws:sts::{account_id}:assumed-role/{role}/{name}",
            "UserId": f"{role}:{name}",
            "SecretAccessKey": credentials["AWS_SECRET_ACCESS_KEY"],
            "SessionToken": credentials["AWS_SESSION_TOKEN"],
        }

    _replace(runtime.execution_credentials, random_credentials)


def _replace(original: object, mended: object) -> None:
    """Puts ``mended`` wherever a module of ministack's has ``original``, its own or imported."""
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "ministack"]
    for module in modules:
        for name, value in list(vars(module).items()):
            if value is original:
                setattr(module, name, mended)


def _module(name: str) -> Any:
    module: ModuleType = importlib.import_module(name)
    return module
