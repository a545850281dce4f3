"""An OpenID Connect provider: a real HTTP server with keys, and the tokens that it signs."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

AUDIENCE = "nocode-vision"
_MAKE = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "PS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


class Issuer:
    """A context manager; `token` signs with the newest key."""

    def __init__(self):
        self.keys = {}
        """Public keys by id, as the key set has them."""
        self.requests = []
        self.failing = False
        self.documents = {}
        """What a path answers with instead."""
        self._private = self._algorithm = None
        self.rotate()

    def __enter__(self):
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.requests.append(self.path)
                document = issuer.documents.get(self.path, issuer._document(self.path))
                self.send_response(503 if issuer.failing else 200 if document else 404)
                self.end_headers()
                self.wfile.write(json.dumps(document).encode())

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()

    def _document(self, path):
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        return {"keys": list(self.keys.values())} if path == "/keys" else None

    def rotate(self, algorithm="ES256", *, keep=False, named=True):
        """Sign with a new key from now on; the old ones are taken back unless kept."""
        self._private, self._algorithm = _MAKE[algorithm](), algorithm
        self._kid = f"key-{time.monotonic_ns()}"
        to_jwk = jwt.get_algorithm_by_name(algorithm).to_jwk
        public = to_jwk(self._private.public_key(), as_dict=True)
        names = {"kid": self._kid, "use": "sig"} | ({"alg": algorithm} if named else {})
        self.keys = (self.keys if keep else {}) | {self._kid: public | names}

    def token(self, subject="alice", roles=("viewer",), *, headers=None, **claims):
        """Sign a token; a claim that is None is left out."""
        now = int(time.time())
        content = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": subject,
            "exp": now + 600,
            "nbf": now,
            "iat": now,
            "roles": list(roles) if isinstance(roles, tuple) else roles,
        } | claims
        return jwt.encode(
            {claim: value for claim, value in content.items() if value is not None},
            self._private,
            algorithm=self._algorithm,
            headers={"kid": self._kid} | (headers or {}),
        )
