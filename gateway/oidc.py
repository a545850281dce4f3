"""Tokens of people: JWTs that an OpenID Connect provider has signed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
import urllib.request
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jwt

from common.errors import BackendUnavailable
from common.reasons import Reason
from gateway.roles import Caller, by_task, parse_role
from gateway.settings import is_safe_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.roles import Role

# Signatures that only the provider can make. With a shared secret (HS256), whoever can check a
# token could make one; "none" is no signature.
ALGORITHMS = (
    *("RS256", "RS384", "RS512"),
    *("PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
    "EdDSA",
)

_LEEWAY_S = 30
"""Clocks differ by so much."""
_FRESH_S = 300.0
"""`refresh` fetches keys again after so long: one that the provider took back is refused then."""
_KEPT_S = 3600.0
"""Keys are used for so long while the provider does not answer."""
_RETRY_S = 5.0
"""Keys are fetched at most this often, whatever callers send."""
_FETCH_TIMEOUT_S = 5.0
_MAX_DOCUMENT_BYTES = 1024**2
_MAX_SUBJECT_LENGTH = 255  # OpenID Connect Core, section 2

# Checking a signature costs a tenth of a call; a caller sends the same token again and again.
_REMEMBERED_TOKENS = 1000
_REMEMBERED_S = 60.0

_log = logging.getLogger(__name__)


class Refused(Exception):
    """The token is not accepted; the message is for the log."""


class Oidc:
    """Accepts the JWTs of one provider.

    Args:
        issuer: The provider's address, as in the claim `iss`.
        audience: Who the tokens must be for, as in the claim `aud`.
        jwks_url: Where its keys are; empty to ask the provider.
        roles_claim: The claim that holds the roles; dots lead into objects.
    """

    def __init__(self, issuer: str, audience: str, jwks_url: str, roles_claim: str) -> None:
        self._issuer = issuer
        self._audience = audience
        self._roles_claim = roles_claim
        self._keys = _Keys(issuer, jwks_url, on_change=self._forget)
        self._remembered: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()

    def refresh(self) -> None:
        """Begin to fetch the provider's keys if there are none or they have become old."""
        self._keys.refresh()

    async def caller(self, token: str) -> Caller:
        """Return who a token stands for.

        Raises:
            Refused: It is not one of the provider's, not for us, or not for now.
            BackendUnavailable: The provider's keys cannot be had.
        """
        digest = hashlib.sha256(token.encode()).digest()
        remembered = self._remembered.get(digest)
        if remembered and time.time() < remembered[1]:
            return remembered[0]
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key, algorithms = await self._keys.find(kid)
            claims = jwt.decode(
                token,
                key,
                algorithms=algorithms,
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_S,
                options={
                    "require": ["exp", "iss", "aud", "sub"],
                    "enforce_minimum_key_length": True,
                },
            )
            until = min(claims["exp"], time.time() + _REMEMBERED_S)
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            # TypeError and ValueError: a key of another kind than the token's algorithm, and a time
            # that is a text.
            raise Refused(f"{type(error).__name__}: {error}") from None
        subject = claims["sub"]
        if not 0 < len(subject) <= _MAX_SUBJECT_LENGTH:
            raise Refused(f"sub has {len(subject)} characters")
        caller = Caller(f"oidc:{quote(subject, safe='@:/|+')}", self._roles(claims))
        self._remember(digest, caller, until)
        return caller

    def _roles(self, claims: Mapping[str, Any]) -> dict[str, Role]:
        """Return the roles of a token; words that are no role of ours are another program's."""
        value: Any = claims.get(self._roles_claim)
        if value is None:
            value = claims
            for part in self._roles_claim.split("."):
                value = value.get(part) if isinstance(value, dict) else None
        words = value.split() if isinstance(value, str) else value
        roles = []
        for word in words if isinstance(words, list) else ():
            with suppress(ValueError):
                roles.append(parse_role(str(word)))
        return by_task(roles)

    def _remember(self, digest: bytes, caller: Caller, until: float) -> None:
        self._remembered[digest] = caller, until
        self._remembered.move_to_end(digest)
        if len(self._remembered) > _REMEMBERED_TOKENS:
            self._remembered.popitem(last=False)

    def _forget(self) -> None:
        """Check all tokens anew: a key that signed some of them may be gone."""
        self._remembered.clear()


class _Keys:
    """The provider's public keys, fetched when they are old, or an unknown one is asked for."""

    def __init__(self, issuer: str, url: str, on_change: Callable[[], None]) -> None:
        self._issuer = issuer
        self._url = url
        self._on_change = on_change
        self._keys: dict[str | None, tuple[Any, list[str]]] = {}
        self._document: Any = None
        self._fetched = self._tried = float("-inf")
        self._renewal: asyncio.Task[None] | None = None
        self._problem = ""

    def refresh(self) -> None:
        """Begin to fetch the keys if they are old; those at hand still count meanwhile."""
        if time.monotonic() - self._fetched > _FRESH_S:
            self._renew()

    async def find(self, kid: object) -> tuple[Any, list[str]]:
        """Return a key and the algorithms that it may be used with.

        Raises:
            Refused: The provider has no such key.
            BackendUnavailable: Its keys cannot be had.
        """
        if time.monotonic() - self._fetched > _KEPT_S:
            await asyncio.shield(self._renew())
            if time.monotonic() - self._fetched > _KEPT_S:
                raise BackendUnavailable(
                    Reason.IDENTITY_PROVIDER_UNAVAILABLE,
                    "Your token cannot be checked, because its provider does not answer. Try again "
                    "in a few seconds; if it stays so, the gateway's operator must look at it.",
                    retry_after_s=_RETRY_S,
                )
        found = self._get(kid)
        if found is None:
            await asyncio.shield(self._renew())  # it may be new
            found = self._get(kid)
        if found is None:
            raise Refused(f"the provider has no key {kid!r}")
        return found

    def _get(self, kid: object) -> tuple[Any, list[str]] | None:
        if kid is None and len(self._keys) == 1:  # then a token need not say which
            return next(iter(self._keys.values()))
        return self._keys.get(kid) if isinstance(kid, str) else None

    def _renew(self) -> asyncio.Task[None]:
        """Fetch the keys, unless that was tried a moment ago.

        A task of its own: it serves all callers, and one that hangs up must not end it.
        """
        is_due = time.monotonic() - self._tried >= _RETRY_S
        if self._renewal is None or (self._renewal.done() and is_due):
            self._tried = time.monotonic()
            self._renewal = asyncio.create_task(self._fetch())
        return self._renewal

    async def _fetch(self) -> None:
        """Fetch the keys; if that fails, those at hand stay."""
        try:
            document = await asyncio.to_thread(_read_keys, self._issuer, self._url)
            keys = _usable(document)
        except Exception as error:  # noqa: BLE001 - whatever the provider says, callers cannot help it
            problem = f"{type(error).__name__}: {error}"
            if problem != self._problem:  # said once, however long it lasts
                _log.error("the keys of %s cannot be fetched: %s", self._issuer, problem)
            self._problem = problem
            return
        self._fetched = time.monotonic()
        self._problem = ""
        self._keys = keys
        if document != self._document:
            self._document = document
            self._on_change()


def _usable(document: dict[str, Any]) -> dict[str | None, tuple[Any, list[str]]]:
    """Return the keys for checking signatures, by id; those of other kinds are left out."""
    keys: dict[str | None, tuple[Any, list[str]]] = {}
    for entry in document["keys"]:
        is_public = entry.get("kty") in {"RSA", "EC", "OKP"} and "d" not in entry
        if not is_public or entry.get("use", "sig") != "sig":
            continue
        algorithm = entry.get("alg")
        if algorithm is not None and algorithm not in ALGORITHMS:
            continue
        with suppress(jwt.PyJWTError):  # e.g. a curve that nobody here knows
            key = jwt.PyJWK.from_dict(entry).key
            keys[entry.get("kid")] = key, [algorithm] if algorithm else list(ALGORITHMS)
    if not keys:
        raise ValueError("there is no public key for signatures among them")
    return keys


def _read_keys(issuer: str, url: str) -> dict[str, Any]:
    """Read the key set, from where the provider says it is if `url` is empty."""
    if not url:
        discovery = _read_json(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if discovery.get("issuer") != issuer:
            raise ValueError(f"the provider calls itself {discovery.get('issuer')!r}")
        url = str(discovery.get("jwks_uri"))
        if not is_safe_url(url):
            raise ValueError(f"the provider's jwks_uri is {url!r}, which is not https")
    document = _read_json(url)
    entries = document.get("keys")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{url} holds no key set")
    return document


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Whoever could answer with a redirect could choose the keys."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def _read_json(url: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(_NoRedirect)
    with opener.open(url, timeout=_FETCH_TIMEOUT_S) as response:
        content = response.read(_MAX_DOCUMENT_BYTES + 1)
    if len(content) > _MAX_DOCUMENT_BYTES:
        raise ValueError(f"{url} holds more than {_MAX_DOCUMENT_BYTES} bytes")
    document = json.loads(content)
    if not isinstance(document, dict):
        raise ValueError(f"{url} holds no JSON object")
    return document
