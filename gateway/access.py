"""Who a caller is, and how much and what of the server itself it may call."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from grpc_status import rpc_status

from common import names
from common.errors import DomainError, PermissionDenied, Unauthenticated
from common.reasons import Reason
from common.rpc import errors
from gateway.limits import Limits
from gateway.roles import Caller, Role
from gateway.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractContextManager

    import grpc

    from gateway.settings import GatewaySettings

    Context = grpc.aio.ServicerContext[Any, Any]

AUTHORIZATION_HEADER = "authorization"
CALLER_HEADER = "x-nocode-caller"
"""Where a service finds the caller's name, which the gateway alone may write."""

_LOGGED_LENGTH = 200
"""Of why a token was refused: part of that is what a stranger sent."""

# What they show is made by the server itself, and belongs to no task.
_CHANNELZ = "/grpc.channelz."

ANYBODY = Caller("anonymous", dict.fromkeys(names.TASKS, Role.ADMIN))
"""Every caller, where nobody is asked for a token."""

_log = logging.getLogger(__name__)


class Access:
    """Finds out who calls by the token, and lets everybody do everything if none is asked for.

    Raises:
        OSError: The file of the tokens cannot be read.
        ValueError: It is not as it should be.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._is_open = settings.is_open
        self._limits = Limits(settings.rate_limit, settings.rate_burst, settings.concurrent_calls)
        self._tokens = Tokens(settings.tokens_file) if settings.tokens_file else None
        self._oidc = None
        if settings.oidc_issuer:
            from gateway.oidc import Oidc, Refused  # noqa: PLC0415 - brings cryptography

            self._oidc = Oidc(
                settings.oidc_issuer,
                settings.oidc_audience,
                settings.oidc_jwks_url,
                settings.oidc_roles_claim,
            )
            self._refused = Refused

    async def refresh(self) -> None:
        """Read what has changed since: the file of the tokens, and the provider's keys."""
        if self._tokens:
            await asyncio.to_thread(self._tokens.refresh)
        if self._oidc:
            self._oidc.refresh()

    async def caller(self, authorization: str) -> Caller:
        """Return who sends the header `authorization`.

        Raises:
            Unauthenticated: Nobody that is known. Why is for the log: a stranger learns nothing.
            BackendUnavailable: The provider's keys cannot be had.
        """
        if self._is_open:
            return ANYBODY
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated(
                Reason.TOKEN_MISSING,
                "This call needs a token, as the metadata `authorization: Bearer TOKEN`. Ask the "
                "operator of this server for one.",
            )
        if self._tokens and (caller := self._tokens.caller(token)):
            return caller
        why = "it is none of the file's, or has expired"
        if self._oidc and token.count(".") == 2:  # the form of a JWT
            try:
                return await self._oidc.caller(token)
            except self._refused as error:
                why = str(error)
        _log.info("a token was refused: %s", names.shorten(why, _LOGGED_LENGTH))
        raise Unauthenticated(
            Reason.TOKEN_INVALID,
            "The token of this call is not accepted: it may have expired, be revoked, or be made "
            "for another server. Get a new one.",
        )

    def share(self, caller: Caller, context: Context) -> AbstractContextManager[object]:
        """Take a call from the share of who makes it; what is returned is entered while it runs.

        Where nobody is known, the share is the machine's.

        Raises:
            Exhausted: No call is left.
        """
        if not self._limits:
            return nullcontext()
        machine = context.peer().rpartition(":")[0]
        return self._limits.share(machine if caller is ANYBODY else caller.name)

    @asynccontextmanager
    async def admit(self, path: str, context: Context) -> AsyncIterator[None]:
        """Surround a call of reflection or channelz; ends one that the caller may not make.

        Reflection is for whoever may look at a task, channelz for who is admin in all of them.
        """
        try:
            caller = await self.caller(authorization_of(context))
            if path.startswith(_CHANNELZ):
                if not all(caller.has(Role.ADMIN, task) for task in names.TASKS):
                    raise denied(Role.ADMIN, "all tasks")
            elif not any(caller.has(Role.VIEWER, task) for task in names.TASKS):
                raise denied(Role.VIEWER, "a task")
            share = self.share(caller, context)
        except Exception as error:  # noqa: BLE001 - its text is nobody's business
            status = (
                errors.to_status(error)
                if isinstance(error, DomainError)
                else errors.unexpected(error, doing=path)
            )
            await context.abort_with_status(rpc_status.to_status(status))
        with share:
            yield


def authorization_of(context: Context) -> str:
    """Return the header `authorization` of a call; empty if there is none.

    Several are one, as in HTTP, and so no token of anybody's: what stands in front may have looked
    at another one than we do.
    """
    metadata = context.invocation_metadata() or ()
    return ", ".join(str(value) for key, value in metadata if key == AUTHORIZATION_HEADER)


def denied(role: Role, where: str) -> PermissionDenied:
    """Return the error of a caller without a role; the same whether what it names exists."""
    return PermissionDenied(
        Reason.ROLE_MISSING,
        f"This call needs the role {role.name.lower()} in {where}, which your token does not "
        "give. Ask the operator of this server for it.",
        role=role.name.lower(),
    )
