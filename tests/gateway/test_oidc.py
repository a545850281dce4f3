"""JWTs of a provider that answers over HTTP."""

import asyncio
import base64
import hmac
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from common.errors import BackendUnavailable
from gateway import oidc as module
from gateway.oidc import Oidc, Refused
from gateway.roles import Role
from tests.gateway.issuer import AUDIENCE, Issuer


@pytest.fixture
def issuer():
    with Issuer() as running:
        yield running


@pytest.fixture
def oidc(issuer, monkeypatch):
    monkeypatch.setattr(module, "_RETRY_S", 0.0)
    return Oidc(issuer.url, AUDIENCE, "", "roles")


async def test_a_token_stands_for_its_subject_and_roles(oidc, issuer):
    caller = await oidc.caller(issuer.token("alice", ["trainer:detection", "viewer"]))

    assert caller.name == "oidc:alice"
    assert caller.has(Role.TRAINER, "detection")
    assert not caller.has(Role.TRAINER, "classification")
    assert caller.has(Role.VIEWER, "classification")


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("named", [True, False])
async def test_asymmetric_signatures_are_taken(oidc, issuer, algorithm, named):
    """Whether or not the key set says what a key is for."""
    issuer.rotate(algorithm, named=named)

    assert (await oidc.caller(issuer.token())).name == "oidc:alice"


now = time.time


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"exp": now() - 60}, id="expired"),
        pytest.param({"exp": None}, id="never expires"),
        pytest.param({"exp": "tomorrow"}, id="expires at no time"),
        pytest.param({"exp": str(int(now()) + 600)}, id="expires at a text"),
        pytest.param({"exp": float("inf")}, id="expires at the end of time"),
        pytest.param({"nbf": now() + 3600}, id="not yet"),
        pytest.param({"aud": "another"}, id="for another"),
        pytest.param({"aud": None}, id="for nobody"),
        pytest.param({"iss": "https://evil.example.com"}, id="of another"),
        pytest.param({"iss": None}, id="of nobody"),
        pytest.param({"sub": None}, id="no subject"),
        pytest.param({"sub": ""}, id="empty subject"),
        pytest.param({"sub": "x" * 256}, id="long subject"),
    ],
)
async def test_claims_that_are_not_right_are_refused(oidc, issuer, claims):
    with pytest.raises(Refused):
        await oidc.caller(issuer.token(**claims))


async def test_clocks_may_differ_a_little(oidc, issuer):
    early = issuer.token(nbf=int(now()) + 10)
    late = issuer.token(exp=int(now()) - 10)

    assert await oidc.caller(early)
    assert await oidc.caller(late)


async def test_one_audience_of_several_is_enough(oidc, issuer):
    assert await oidc.caller(issuer.token(aud=["another", AUDIENCE]))


def _part(content):
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


async def test_an_unsigned_token_is_refused(oidc, issuer):
    head, body, _ = issuer.token().split(".")
    kid = jwt.get_unverified_header(f"{head}.{body}.")["kid"]

    for algorithm in ("none", "None", "NONE"):
        with pytest.raises(Refused):
            await oidc.caller(f"{_part({'alg': algorithm, 'kid': kid})}.{body}.")


async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(oidc, issuer):
    """HS256 would make a token out of what everybody can read."""
    issuer.rotate("RS256", named=False)
    ((kid, key),) = issuer.keys.items()
    signed = _part({"alg": "HS256", "kid": kid}) + "." + issuer.token().split(".")[1]
    public = jwt.PyJWK(key).key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signature = hmac.digest(public, signed.encode(), "sha256")
    forged = f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"

    with pytest.raises(Refused, match="InvalidAlgorithmError"):
        await oidc.caller(forged)


async def test_a_secret_among_the_keys_is_not_used(oidc, issuer):
    issuer.keys["shared"] = {"kty": "oct", "kid": "shared", "k": _part("x" * 32), "alg": "HS256"}
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    secret = base64.urlsafe_b64decode(issuer.keys["shared"]["k"] + "==")

    with pytest.raises(Refused, match="no key 'shared'"):
        await oidc.caller(jwt.encode(claims, secret, algorithm="HS256", headers={"kid": "shared"}))


async def test_a_key_that_the_token_brings_is_not_used(oidc, issuer):
    """Nor is one at an address that it names."""
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = jwt.get_algorithm_by_name("RS256").to_jwk(stranger.public_key(), as_dict=True)
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    (kid,) = issuer.keys
    headers = {"kid": kid, "jwk": public, "jku": f"{issuer.url}/evil"}

    with pytest.raises(Refused):
        await oidc.caller(jwt.encode(claims, stranger, algorithm="RS256", headers=headers))
    assert "/evil" not in issuer.requests


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
async def test_a_short_key_is_not_trusted(oidc, issuer):
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    public = jwt.get_algorithm_by_name("RS256").to_jwk(weak.public_key(), as_dict=True)
    issuer.keys["weak"] = public | {"kid": "weak"}
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})

    with pytest.raises(Refused, match="InvalidKeyError"):
        await oidc.caller(jwt.encode(claims, weak, algorithm="RS256", headers={"kid": "weak"}))


@pytest.mark.parametrize("text", ["..", "a.b.c", "a.b", "é.é.é", "eyJ9.e30.", "x" * 10_000])
async def test_other_text_is_refused(oidc, text):
    with pytest.raises(Refused):
        await oidc.caller(text)


async def test_a_new_key_is_fetched_when_it_is_first_seen(oidc, issuer):
    await oidc.caller(issuer.token())
    issuer.rotate(keep=True)

    assert await oidc.caller(issuer.token())


async def test_a_key_that_is_taken_back_counts_no_more(oidc, issuer):
    """Also for a token that was accepted before, as soon as the keys are fetched again."""
    old = issuer.token()
    await oidc.caller(old)
    issuer.rotate()
    await oidc.caller(issuer.token())

    with pytest.raises(Refused):
        await oidc.caller(old)


async def test_keys_are_renewed_once_they_are_old_though_nobody_calls(oidc, issuer, monkeypatch):
    """So the first call after a quiet night is not let in by a key that was taken back."""
    old, older = issuer.token("alice"), issuer.token("bob")
    await oidc.caller(old)
    issuer.rotate()

    oidc.refresh()
    assert issuer.requests.count("/keys") == 1  # not yet
    assert await oidc.caller(older)
    monkeypatch.setattr(module, "_FRESH_S", 0.0)
    oidc.refresh()
    async with asyncio.timeout(30):
        while set(oidc._keys._keys) != set(issuer.keys):  # noqa: ASYNC110 - fetched by a thread
            await asyncio.sleep(0.01)

    for token in (old, older):
        with pytest.raises(Refused):
            await oidc.caller(token)


async def test_unknown_keys_do_not_make_a_storm(issuer):
    """Whatever strangers send, the provider is asked once in a while."""
    oidc = Oidc(issuer.url, AUDIENCE, "", "roles")
    await oidc.caller(issuer.token())

    for number in range(20):
        with pytest.raises(Refused, match="no key"):
            await oidc.caller(issuer.token(headers={"kid": f"unknown-{number}"}))

    assert issuer.requests.count("/keys") == 1


async def test_callers_at_the_same_time_share_one_fetch(issuer):
    """And one that hangs up does not take the keys from the others."""
    oidc = Oidc(issuer.url, AUDIENCE, "", "roles")
    callers = [asyncio.create_task(oidc.caller(issuer.token(f"u{n}"))) for n in range(10)]
    await asyncio.sleep(0)
    callers[0].cancel()

    done = await asyncio.gather(*callers, return_exceptions=True)

    assert isinstance(done[0], asyncio.CancelledError)
    assert [caller.name for caller in done[1:]] == [f"oidc:u{n}" for n in range(1, 10)]
    assert issuer.requests.count("/keys") == 1


async def test_without_the_providers_keys_nobody_can_tell(oidc, issuer):
    """That is not the caller's fault, so a caller is not told that its token is wrong."""
    issuer.failing = True

    with pytest.raises(BackendUnavailable) as raised:
        await oidc.caller(issuer.token())

    assert raised.value.retry_after_s is not None
    issuer.failing = False
    assert await oidc.caller(issuer.token())


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 10**5])
async def test_a_provider_that_speaks_nonsense_is_one_that_is_away(answer):
    """Whatever it says is no fault of the callers."""

    async def speak(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with Issuer() as issuer:
        token = issuer.token(iss=url)
    async with server:
        with pytest.raises(BackendUnavailable):
            await Oidc(url, AUDIENCE, "", "roles").caller(token)


async def test_a_provider_that_stays_away_is_said_once(oidc, issuer, caplog):
    """Callers that try again and again do not fill the log."""
    issuer.failing = True

    for _ in range(3):
        with pytest.raises(BackendUnavailable):
            await oidc.caller(issuer.token())

    assert sum("cannot be fetched" in record.message for record in caplog.records) == 1


async def test_known_keys_are_used_while_the_provider_is_away(oidc, issuer, monkeypatch):
    await oidc.caller(issuer.token())
    issuer.failing = True
    monkeypatch.setattr(module, "_FRESH_S", 0.0)
    oidc.refresh()
    await oidc._keys._renewal

    assert await oidc.caller(issuer.token("bob"))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"keys": []}, id="no keys"),
        pytest.param({"keys": "x"}, id="no list"),
        pytest.param({"keys": [1]}, id="no objects"),
        pytest.param(["x"], id="no object"),
        pytest.param({"keys": [{"kty": "RSA", "kid": "a"}]}, id="no numbers"),
        pytest.param({"keys": [], "x": "y" * 2 * 1024**2}, id="too large"),
    ],
)
async def test_a_key_set_that_is_none_is_not_used(oidc, issuer, document):
    issuer.documents["/keys"] = document

    with pytest.raises(BackendUnavailable):
        await oidc.caller(issuer.token())


@pytest.mark.parametrize("change", [{"issuer": "https://other"}, {"jwks_uri": "http://1.2.3.4/k"}])
async def test_a_provider_that_says_something_else_is_not_trusted(oidc, issuer, change):
    """Another name, or keys that come over the network unencrypted."""
    path = "/.well-known/openid-configuration"
    issuer.documents[path] = issuer._document(path) | change

    with pytest.raises(BackendUnavailable):
        await oidc.caller(issuer.token())


async def test_the_address_of_the_keys_may_be_set(issuer):
    oidc = Oidc(issuer.url, AUDIENCE, f"{issuer.url}/keys", "roles")

    await oidc.caller(issuer.token())

    assert issuer.requests == ["/keys"]


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["offline", "trainer"]}}),
        ("https://a.example.com/roles", {"https://a.example.com/roles": ["trainer"]}),
        ("scope", {"scope": "openid trainer"}),
    ],
)
async def test_roles_are_where_the_provider_puts_them(issuer, claim, claims):
    """Words that are no roles of ours are another program's."""
    oidc = Oidc(issuer.url, AUDIENCE, "", claim)

    caller = await oidc.caller(issuer.token(roles=["admin"], **claims))

    assert set(caller.roles.values()) == {Role.TRAINER}


@pytest.mark.parametrize("roles", [None, 7, {"admin": True}, [None, ["admin"]], "root"])
async def test_what_is_no_role_gives_none(oidc, issuer, roles):
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    caller = await oidc.caller(issuer.token(**(claims | {"roles": roles})))

    assert caller.roles == {}


async def test_a_name_fits_into_metadata(oidc, issuer):
    """Two subjects never get the same name."""
    names = {
        (await oidc.caller(issuer.token(subject))).name
        for subject in ("ä", "a b", "a%20b", "a\n", "google-oauth2|1", "a@b.example")
    }

    assert len(names) == 6
    assert all(name.isascii() and name.isprintable() for name in names)
    assert "oidc:a@b.example" in names
