"""Removing a person from commands."""

from msgspec.structs import replace

from evswap_schema import CacheAuthorisations, Command, RequestSwap, Reserve


def without_person(command: Command, id_token: str) -> Command | None:
    """``command`` without the person of ``id_token``; None where it was about nobody else. What is signed
    names its customer in its payload."""
    action = command.action
    if isinstance(action, Reserve | RequestSwap):
        return None if action.id_token == id_token else command
    if not isinstance(action, CacheAuthorisations):
        return command
    others = tuple(one for one in action.authorisations if id_token.encode() not in one.payload)
    if len(others) == len(action.authorisations):
        return command
    if not others and not action.withdrawn:
        return None
    return replace(command, action=replace(action, authorisations=others))
