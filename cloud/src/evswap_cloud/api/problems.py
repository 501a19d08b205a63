"""Answers that are not a success: problem details, RFC 9457."""

from http import HTTPStatus

from msgspec import UNSET, Struct, UnsetType


class Problem(Struct, frozen=True, kw_only=True):
    """``title`` is the same for every occurrence of a problem; ``detail`` is about this one, and says what to
    do. ``field`` names the parameter that is wrong.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    field: str | UnsetType = UNSET


class ProblemError(Exception):
    """A request that ends with ``problem``."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.detail)


def bad_parameter(field: str, detail: str) -> ProblemError:
    """400: parameter ``field`` cannot be used."""
    return _error(HTTPStatus.BAD_REQUEST, detail, field=field)


def unauthorised(detail: str) -> ProblemError:
    """401: nobody has said who he is."""
    return _error(HTTPStatus.UNAUTHORIZED, detail)


def forbidden(detail: str) -> ProblemError:
    """403: whoever asks may not."""
    return _error(HTTPStatus.FORBIDDEN, detail)


def unprocessable(field: str, detail: str) -> ProblemError:
    """422: parameter ``field`` goes with another request."""
    return _error(HTTPStatus.UNPROCESSABLE_ENTITY, detail, field=field)


def not_found(detail: str) -> ProblemError:
    """404: there is nothing there."""
    return _error(HTTPStatus.NOT_FOUND, detail)


def method_not_allowed(detail: str) -> ProblemError:
    """405: the resource is there, its method is not."""
    return _error(HTTPStatus.METHOD_NOT_ALLOWED, detail)


def server_error() -> ProblemError:
    """500: it is our fault; what happened stands in the log only."""
    return _error(HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed. Try again in a moment.")


def _error(status: HTTPStatus, detail: str, *, field: str | UnsetType = UNSET) -> ProblemError:
    return ProblemError(Problem(title=status.phrase, status=status, detail=detail, field=field))
