"""Real API servers on loopback: one etcd, any number of `kube-apiserver` processes, no kubelet.

What the suite needs of Kubernetes is its token issuer: service accounts, pods to bind tokens to, TokenRequest,
TokenReview, the discovery document and the key set. All of them live in the API server.
"""

import base64
import datetime
import ipaddress
import json
import os
import secrets
import shutil
import socket
import time
from pathlib import Path

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from avouch_interop.server import free_port, start, stop

DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"
API_PORT = 6443
START_LIMIT = 120


def free_loopback_address() -> str:
    """An address of 127.0.0.0/8 on which the usual port of an API server is free."""
    for _ in range(50):
        address = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250) + 1}.{secrets.randbelow(250) + 1}"
        with socket.socket() as probe:
            try:
                probe.bind((address, API_PORT))
                return address
            except OSError:
                continue
    raise RuntimeError(f"port {API_PORT} is taken on every loopback address that was tried")


def pem(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


class Authority:
    """A certificate authority for the API servers' own certificates."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "interop API servers")])
        self.certificate = self._sign(self.name, self.key.public_key(), [(x509.BasicConstraints(True, 0), True)])

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, folder: Path, address: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address(address)), x509.DNSName("kubernetes.default.svc")]
        extensions = [
            (x509.SubjectAlternativeName(names), False),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False),
        ]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        certificate = self._sign(subject, key.public_key(), extensions)
        certificate_file, key_file = folder / "serving.crt", folder / "serving.key"
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(pem(key))
        return certificate_file, key_file

    def _sign(self, subject, public_key, extensions):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=2))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())


class Etcd:
    def __init__(self, folder: Path):
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        peer = f"http://127.0.0.1:{free_port()}"
        program = shutil.which("etcd")
        if program is None:
            raise SystemExit("no etcd: install the package etcd-server")
        command = [program, "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync", "--log-level", "warn"]
        command += ["--listen-client-urls", self.url, "--advertise-client-urls", self.url]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        command += ["--initial-cluster", f"default={peer}"]
        self.process = start(command, folder / "etcd.log")
        wait_until(lambda: requests.get(f"{self.url}/health", timeout=2).ok, self.process, folder / "etcd.log")

    def stop(self) -> None:
        stop(self.process)


def wait_until(ready, process, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT
    while True:
        try:
            if ready():
                return
        except requests.RequestException:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
            raise RuntimeError(f"not ready: {log.name}\n{tail}")
        time.sleep(0.1)


def eventually(holds, limit: float = 45) -> float:
    """Waits until it holds; gives the seconds that took."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() < started + limit, f"not within {limit} s"
        time.sleep(0.25)
    return time.monotonic() - started


class ApiServer:
    """One cluster. `issuer` is its own address unless given."""

    def __init__(self, folder: Path, name: str, etcd: Etcd, authority: Authority, issuer: str | None = None):
        self.name, self.etcd, self.authority = name, etcd, authority
        self.folder = folder / name
        self.folder.mkdir()
        self.address = free_loopback_address()
        self.url = f"https://{self.address}:{API_PORT}"
        self.issuer = issuer or self.url
        self.jwks_url = f"{self.url}/openid/v1/jwks"
        self.discovery_url = f"{self.url}/.well-known/openid-configuration"
        self.ca_file = self.folder / "ca.crt"
        self.ca_file.write_text(authority.pem)
        self.admin_token, self.reviewer_token = secrets.token_hex(16), secrets.token_hex(16)
        (self.folder / "tokens.csv").write_text(
            f'{self.admin_token},admin,admin,"system:masters"\n{self.reviewer_token},reviewer,reviewer\n'
        )
        self.reviewer_token_file = self.folder / "reviewer.token"
        self.reviewer_token_file.write_text(self.reviewer_token)
        self.reviewer_token_file.chmod(0o600)
        self.serving = authority.issue(self.folder, self.address)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(self.ca_file)
        self.session.headers["Authorization"] = f"Bearer {self.admin_token}"
        self.new_signing_key()
        self.process = None
        self.start()
        self._open_discovery_to_everybody()
        self._let_the_reviewer_review()

    def new_signing_key(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.signing_key_file = self.folder / "service-accounts.key"
        self.signing_key_file.write_bytes(pem(key))

    def start(self) -> None:
        program = os.environ.get("KUBE_APISERVER") or str(Path(__file__).parent / "bin" / "kube-apiserver")
        certificate_file, key_file = self.serving
        options = {
            "etcd-servers": self.etcd.url,
            "etcd-prefix": f"/{self.name}",
            "bind-address": self.address,
            "advertise-address": self.address,
            "secure-port": API_PORT,
            "endpoint-reconciler-type": "none",
            "tls-cert-file": certificate_file,
            "tls-private-key-file": key_file,
            "token-auth-file": self.folder / "tokens.csv",
            "authorization-mode": "RBAC",
            "service-cluster-ip-range": "10.96.0.0/16",
            "service-account-issuer": self.issuer,
            "service-account-jwks-uri": self.jwks_url,
            "service-account-signing-key-file": self.signing_key_file,
            "service-account-key-file": self.signing_key_file,
            "enable-priority-and-fairness": "false",
            "v": 1,
        }
        log_file = self.folder / "apiserver.log"
        self.process = start([program] + [f"--{name}={value}" for name, value in options.items()], log_file)
        wait_until(lambda: self.session.get(f"{self.url}/readyz", timeout=5).ok, self.process, log_file)

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process, limit=5)
            self.process = None

    def restart_with_another_signing_key(self) -> None:
        """As many a self-hoster does it: the old key is gone at once."""
        self.stop()
        self.new_signing_key()
        self.start()

    # The API.

    def post(self, path: str, body: dict) -> dict:
        answer = self.session.post(f"{self.url}{path}", json=body, timeout=30)
        assert answer.ok or answer.status_code == 409, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def service_account(self, namespace: str, name: str) -> None:
        self.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
        self.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})

    def pod(self, namespace: str, service_account: str, name: str) -> dict:
        self.service_account(namespace, service_account)
        body = {
            "metadata": {"name": name},
            "spec": {"serviceAccountName": service_account, "containers": [{"name": "app", "image": "app"}]},
        }
        made = self.post(f"/api/v1/namespaces/{namespace}/pods", body)
        if "spec" in made:
            return made
        # Another test made it before.
        return self.session.get(f"{self.url}/api/v1/namespaces/{namespace}/pods/{name}", timeout=30).json()

    def delete_pod(self, pod: dict) -> None:
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}?gracePeriodSeconds=0"
        assert self.session.delete(f"{self.url}{path}", timeout=30).ok

    def token(self, pod: dict, audiences=("iam",), seconds: int = 3600) -> str:
        """TokenRequest as the kubelet makes it for a projected volume; no audiences: the default mounted token."""
        meta = pod["metadata"]
        account = pod["spec"]["serviceAccountName"]
        bound = {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}
        body = {"spec": {"audiences": list(audiences), "expirationSeconds": seconds, "boundObjectRef": bound}}
        path = f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token"
        return self.post(path, body)["status"]["token"]

    def review(self, token: str) -> dict:
        body = {"spec": {"token": token, "audiences": ["iam"]}}
        headers = {"Authorization": f"Bearer {self.reviewer_token}"}
        path = f"{self.url}/apis/authentication.k8s.io/v1/tokenreviews"
        return self.session.post(path, json=body, headers=headers, timeout=30).json()["status"]

    def kubeconfig(self) -> Path:
        """Admin's kubeconfig, in JSON, which is YAML too."""
        path = self.folder / "kubeconfig"
        authority = base64.b64encode(self.authority.pem.encode()).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": self.name,
            "contexts": [{"name": self.name, "context": {"cluster": self.name, "user": "admin"}}],
            "clusters": [
                {"name": self.name, "cluster": {"server": self.url, "certificate-authority-data": authority}}
            ],
            "users": [{"name": "admin", "user": {"token": self.admin_token}}],
        }
        path.write_text(json.dumps(config, indent=2))
        path.chmod(0o600)
        return path

    def _bind(self, role: str, subject: dict) -> None:
        api = "rbac.authorization.k8s.io"
        body = {
            "metadata": {"name": f"interop-{role.replace(':', '-')}"},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": api} | subject],
        }
        self.post(f"/apis/{api}/v1/clusterrolebindings", body)

    def _open_discovery_to_everybody(self) -> None:
        self._bind("system:service-account-issuer-discovery", {"kind": "Group", "name": "system:unauthenticated"})

    def _let_the_reviewer_review(self) -> None:
        self._bind("system:auth-delegator", {"kind": "User", "name": "reviewer"})
