"""The routes put together, and what answers where none does."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from evswap_cloud.api import routes
from evswap_cloud.api.answers import preflight, problem_answer
from evswap_cloud.api.problems import ProblemError, method_not_allowed, not_found, server_error
from evswap_cloud.api.resources import Resource
from evswap_cloud.api.routes import issuing
from evswap_cloud.api.serving import Api
from evswap_cloud.api.sources import Sources
from evswap_cloud.latest import LatestReader
from evswap_cloud.remote import Dispatcher


def build_app(sources: Sources, logger: Logger) -> Api:
    """The API over what ``sources`` give."""
    app = APIGatewayRestResolver()
    for route in routes.ALL:
        route.add(app, sources)
    resources = tuple(resource for route in routes.ALL for resource in route.RESOURCES)
    _add_problems(app, resources, logger)
    return Api(app, logger)


def build_issuing_app(latest: LatestReader, dispatcher: Dispatcher, logger: Logger) -> Api:
    """What issues commands to the stations of ``latest`` by ``dispatcher``, and does nothing else."""
    app = APIGatewayRestResolver()
    issuing.add(app, latest, dispatcher, logger)
    _add_problems(app, (), logger)
    return Api(app, logger)


def _add_problems(app: APIGatewayRestResolver, resources: tuple[Resource, ...], logger: Logger) -> None:
    @app.not_found
    def no_route(_: NotFoundError) -> Response[str]:
        """Also what is there, where a name holds what no route's pattern has: nothing can be called so."""
        event = app.current_event
        at = next((resource for resource in resources if resource.is_at(event.path)), None)
        if at is not None and event.http_method == "OPTIONS":
            return preflight(at.allowed)
        if at is not None and event.http_method != "GET":
            refusal = method_not_allowed(f"This resource has no {event.http_method}; it has {at.allowed}.")
            return problem_answer(refusal.problem, {"Allow": at.allowed})
        return problem_answer(not_found("There is nothing at this path; try /stations.").problem)

    def refused(error: ProblemError) -> Response[str]:
        return problem_answer(error.problem)

    def failed(error: Exception) -> Response[str]:
        logger.error("request failed", exc_info=error)
        return problem_answer(server_error().problem)

    app.exception_handler(ProblemError)(refused)
    app.exception_handler(Exception)(failed)
