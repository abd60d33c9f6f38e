"""A made-up cluster: signs service-account tokens as an API server does and is registered by its public keys."""

import base64
import hashlib
import json
import time
import uuid

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AUDIENCE = "iam"


def generate_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_id(key) -> str:
    """The `kid` that Kubernetes gives a key read from a file: hash of the SubjectPublicKeyInfo."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def jwk(key) -> dict:
    fields = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return {"kty": "RSA", "n": fields["n"], "e": fields["e"], "use": "sig", "alg": "RS256", "kid": key_id(key)}


class Cluster:
    """Issuer with one signing key. `registered` tells the server about it."""

    def __init__(self, name: str, issuer: str | None = None):
        self.name = name
        self.issuer = issuer or f"https://{name}.clusters.test"
        self.key = generate_key()
        self.id = None
        self.crn = None

    @property
    def jwks(self) -> dict:
        return {"keys": [jwk(self.key)]}

    def register(self, url: str, bearer: str, **more) -> "Cluster":
        body = {"name": self.name, "cr_type": "IKS_SA", "issuer": self.issuer, "jwks": self.jwks} | more
        answer = requests.post(f"{url}/avouch/v1/clusters", json=body, headers=authorization(bearer), timeout=30)
        assert answer.status_code == 201, f"{answer.status_code} {answer.text}"
        record = answer.json()
        self.id, self.crn = record["id"], record["crn"]
        return self

    def remove(self, url: str, bearer: str) -> None:
        requests.delete(f"{url}/avouch/v1/clusters/{self.id}", headers=authorization(bearer), timeout=30)

    def claims(self, namespace: str, service_account: str, pod: str, lifetime: int = 3600, **more) -> dict:
        now = int(time.time())
        return {
            "iss": self.issuer,
            "sub": f"system:serviceaccount:{namespace}:{service_account}",
            "aud": [AUDIENCE],
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": service_account, "uid": str(uuid.uuid4())},
                "pod": {"name": pod, "uid": str(uuid.uuid4())},
            },
        } | more

    def sign(self, claims: dict, key=None) -> str:
        key = key or self.key
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": key_id(key), "typ": None})

    def token(self, namespace="team-a", service_account="reader", pod="reader-0", **more) -> str:
        return self.sign(self.claims(namespace, service_account, pod, **more))


def authorization(bearer: str) -> dict:
    return {"Authorization": f"Bearer {bearer}"}


def unverified(token: str) -> dict:
    return jwt.decode(token, options={"verify_signature": False})
