"""What can go wrong in an operation.

CloudError
└── OperationError
    ├── NothingDeployed     prefix: nothing of that name is there
    ├── NoSuchVersion       function, version: it was never published, or is gone
    ├── NotHandedOn         problem: a message that was left over has to stay where it is
    ├── NotOperated         operation, target, code: AWS did not do it
    └── SmokeFailure        step, problem: the deployment did not do what it is for
"""

from evswap_cloud.errors import CloudError


class OperationError(CloudError):
    """The root of what the operations raise."""


class NothingDeployed(OperationError):
    """No function's name begins with ``prefix`` in this account and region."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        super().__init__(
            f"nothing here is called {prefix}-...: are these the credentials, the region and the --prefix "
            "of the deployment?"
        )


class NoSuchVersion(OperationError):
    """``function`` has no published ``version``."""

    def __init__(self, *, function: str, version: str) -> None:
        self.function = function
        self.version = version
        super().__init__(f"{function} has no version {version}; `rollback --list` shows those there are")


class NotHandedOn(OperationError):
    """A message that was left over cannot go on its way again; ``problem`` says why."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


class NotOperated(OperationError):
    """AWS did not carry out ``operation`` on ``target``; ``code`` is its error code, or the client's."""

    def __init__(self, *, operation: str, target: str, code: str) -> None:
        self.operation = operation
        self.target = target
        self.code = code
        super().__init__(f"{operation} {target}: {code}")


class SmokeFailure(OperationError):
    """``step`` of the smoke test failed; ``problem`` says how."""

    def __init__(self, *, step: str, problem: str) -> None:
        self.step = step
        self.problem = problem
        super().__init__(f"{step}: {problem}")
