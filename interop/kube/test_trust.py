"""Pods of real clusters become trusted profiles by tokens which their API servers signed."""

import json
import os
import secrets
import subprocess

import jwt
import pytest
import requests
from ibm_cloud_sdk_core import ApiException

from avouch_interop import clients
from avouch_interop.workload import authorization, unverified
from kubernetes import DEFAULT_ISSUER, eventually

NOT_ELIGIBLE = "Selected trusted profile not eligible."


def cluster_name(api) -> str:
    return f"{api.name}-{secrets.token_hex(4)}"


@pytest.fixture
def register(settings, owner):
    """Registers a cluster through the API; removed after the test."""
    made = []

    def call(api, **source) -> dict:
        body = {"name": cluster_name(api), "cr_type": "IKS_SA", "issuer": api.issuer} | source
        url = f"{settings.url}/avouch/v1/clusters"
        answer = requests.post(url, json=body, headers=authorization(owner.bearer()), timeout=30)
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["id"])
        return answer.json()

    yield call
    for cluster_id in made:
        url = f"{settings.url}/avouch/v1/clusters/{cluster_id}"
        requests.delete(url, headers=authorization(owner.bearer()), timeout=30)


@pytest.fixture
def command(avouch, settings, tmp_path):
    """The command line, logged in as the owner in a home of its own."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "IBMCLOUD_HOME": str(tmp_path)}

    def call(*arguments) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [avouch.binary, *map(str, arguments)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{arguments[:3]}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    key_file = tmp_path / "apikey"
    key_file.write_text(settings.apikey)
    key_file.chmod(0o600)
    call("login", "-a", settings.url, "--apikey", f"@{key_file}", "-r", settings.region)
    return call


@pytest.fixture
def trust(settings, owner, instance):
    """A profile that trusts one service account of a cluster and may read the instance's secrets."""
    made = []

    def call(crn: str, namespace: str, service_account: str) -> dict:
        name = f"interop-{secrets.token_hex(5)}"
        profile = owner.identity.create_profile(name=name, account_id=settings.account).get_result()
        made.append(profile["id"])
        link = {"crn": crn, "namespace": namespace, "name": service_account}
        owner.identity.create_link(profile_id=profile["id"], cr_type="IKS_SA", link=link)
        body = clients.policy_on_instance(settings, profile["iam_id"], clients.SECRETS_READER, instance)
        owner.policies.create_v2_policy(**body)
        return profile

    yield call
    for profile_id in made:
        owner.identity.delete_profile(profile_id=profile_id)


@pytest.fixture
def mounted(tmp_path):
    """The token as a file, as a projected volume shows it."""

    def write(token: str):
        path = tmp_path / f"sa-token-{secrets.token_hex(4)}"
        path.write_text(token)
        return path

    return write


@pytest.fixture
def become(settings, mounted):
    def call(profile: dict, token: str) -> clients.Clients:
        return clients.by_token_file(settings, mounted(token), iam_profile_name=profile["name"])

    return call


def read(workload, instance, secret) -> str:
    return workload.secrets(instance).get_secret(id=secret["id"]).get_result()["payload"]


def admitted(become, profile, token) -> bool:
    try:
        return bool(become(profile, token).bearer())
    except ApiException as error:
        assert error.status_code in (400, 503), error.http_response.text
        return False


def refusal(become, profile, token) -> ApiException:
    with pytest.raises(ApiException) as caught:
        become(profile, token).bearer()
    assert caught.value.status_code == 400, caught.value.http_response.text
    return caught.value


def by_discovery(api) -> dict:
    return {"discovery_url": api.discovery_url, "ca_pem": api.authority.pem}


def by_jwks_url(api) -> dict:
    return {"jwks_url": api.jwks_url, "ca_pem": api.authority.pem}


def test_cluster_registered_by_kubeconfig(command, settings, owner, trust, become, west, instance, secret):
    name = cluster_name(west)
    command("ks", "cluster", "register", "--name", name, "--kubeconfig", west.kubeconfig())
    cluster = json.loads(command("ks", "cluster", "get", "--cluster", name, "--output", "json").stdout)
    try:
        profile = trust(cluster["crn"], "team-a", "reader")
        pod = west.pod("team-a", "reader", "reader-0")
        workload = become(profile, west.token(pod))
        assert read(workload, instance, secret) == secret["payload"]
        assert unverified(workload.bearer())["authn"]["name"] == f"{name}:team-a:reader:reader-0"
    finally:
        command("ks", "cluster", "rm", "-c", name, "-f")


@pytest.mark.parametrize("source", [by_discovery, by_jwks_url])
def test_cluster_registered_by_address(register, trust, become, east, instance, secret, source):
    cluster = register(east, **source(east))
    profile = trust(cluster["crn"], "team-a", "reader")
    pod = east.pod("team-a", "reader", "reader-0")
    workload = become(profile, east.token(pod))
    assert read(workload, instance, secret) == secret["payload"]
    claims = unverified(workload.bearer())
    assert claims["iam_id"] == profile["iam_id"]
    assert claims["authn"]["iam_id"] == f"crn-{cluster['crn']}"
    assert claims["authn"]["name"] == f"{cluster['name']}:team-a:reader:reader-0"


def test_other_service_account_of_the_cluster_is_refused(register, trust, become, east):
    cluster = register(east, **by_jwks_url(east))
    profile = trust(cluster["crn"], "team-a", "reader")
    error = refusal(become, profile, east.token(east.pod("team-a", "writer", "writer-0")))
    assert error.message == NOT_ELIGIBLE
    assert f"{cluster['name']}:team-a:writer:writer-0" in error.http_response.json()["errorDetails"]
    assert refusal(become, profile, east.token(east.pod("team-b", "reader", "reader-0"))).message == NOT_ELIGIBLE


def test_default_mounted_token_is_refused(register, trust, become, east):
    cluster = register(east, **by_jwks_url(east))
    profile = trust(cluster["crn"], "team-a", "reader")
    pod = east.pod("team-a", "reader", "reader-0")
    mounted_by_default = east.token(pod, audiences=(), seconds=3607)
    assert clients.error_code(refusal(become, profile, mounted_by_default)) in ("BXNIM0480E", "BXNIM0481E")
    long_lived = east.token(pod, seconds=7200)
    assert clients.error_code(refusal(become, profile, long_lived)) == "BXNIM0480E"
    other_audience = east.token(pod, audiences=("vault",))
    assert clients.error_code(refusal(become, profile, other_audience)) == "BXNIM0481E"


def test_signing_key_swapped_under_the_server(register, trust, become, east, instance, secret):
    cluster = register(east, **by_jwks_url(east))
    profile = trust(cluster["crn"], "team-a", "reader")
    pod = east.pod("team-a", "reader", "reader-0")
    before = east.token(pod)
    assert admitted(become, profile, before)
    east.restart_with_another_signing_key()
    after = east.token(pod)
    assert jwt.get_unverified_header(after)["kid"] != jwt.get_unverified_header(before)["kid"]
    took = eventually(lambda: admitted(become, profile, after))
    print(f"the new key was accepted after {took:.1f} s")
    assert read(become(profile, after), instance, secret) == secret["payload"]


def test_token_of_a_deleted_pod_is_refused_by_review(register, trust, become, east):
    review = {
        "online_check": "token_review",
        "api_server_url": east.url,
        "reviewer_token_file": str(east.reviewer_token_file),
    }
    cluster = register(east, **by_jwks_url(east), **review)
    profile = trust(cluster["crn"], "team-a", "reader")
    pod = east.pod("team-a", "reader", f"reader-{secrets.token_hex(3)}")
    token = east.token(pod)
    assert admitted(become, profile, token)
    east.delete_pod(pod)
    # The API server itself keeps a good answer for ten seconds, and so may Avouch.
    took = eventually(lambda: not admitted(become, profile, token))
    print(f"the token was refused after {took:.1f} s")
    assert clients.error_code(refusal(become, profile, token)) == "BXNIM0407E"
    alive = east.pod("team-a", "reader", f"reader-{secrets.token_hex(3)}")
    assert admitted(become, profile, east.token(alive)), "a pod that lives is still let in"


def test_token_of_a_deleted_pod_passes_without_review(register, trust, become, east):
    cluster = register(east, **by_jwks_url(east))
    profile = trust(cluster["crn"], "team-a", "reader")
    pod = east.pod("team-a", "reader", f"reader-{secrets.token_hex(3)}")
    token = east.token(pod)
    east.delete_pod(pod)
    assert admitted(become, profile, token)


def test_clusters_of_one_default_issuer_are_told_apart_by_key(register, trust, become, west, north, instance, secret):
    assert west.issuer == north.issuer == DEFAULT_ISSUER
    clusters = {api: register(api, **by_jwks_url(api)) for api in (west, north)}
    profiles = {api: trust(clusters[api]["crn"], "team-a", "reader") for api in (west, north)}
    for api, other in ((west, north), (north, west)):
        token = api.token(api.pod("team-a", "reader", "reader-0"))
        workload = become(profiles[api], token)
        assert read(workload, instance, secret) == secret["payload"]
        assert unverified(workload.bearer())["authn"]["iam_id"] == f"crn-{clusters[api]['crn']}"
        assert refusal(become, profiles[other], token).message == NOT_ELIGIBLE


def test_same_keys_cannot_be_registered_twice(register, settings, owner, west):
    register(west, **by_jwks_url(west))
    body = {"name": cluster_name(west), "cr_type": "IKS_SA", "issuer": west.issuer} | by_jwks_url(west)
    url = f"{settings.url}/avouch/v1/clusters"
    assert requests.post(url, json=body, headers=authorization(owner.bearer()), timeout=30).status_code == 409


def test_deleted_registration_ends_every_exchange(settings, owner, register, trust, become, east):
    cluster = register(east, **by_jwks_url(east))
    profile = trust(cluster["crn"], "team-a", "reader")
    token = east.token(east.pod("team-a", "reader", "reader-0"))
    assert admitted(become, profile, token)
    url = f"{settings.url}/avouch/v1/clusters/{cluster['id']}"
    assert requests.delete(url, headers=authorization(owner.bearer()), timeout=30).status_code == 204
    assert clients.error_code(refusal(become, profile, token)) == "BXNIM0407E"


def test_issuer_that_differs_from_its_own_document_is_refused(settings, owner, east):
    body = {"name": cluster_name(east), "cr_type": "IKS_SA", "issuer": f"{east.issuer}/"} | by_discovery(east)
    url = f"{settings.url}/avouch/v1/clusters"
    assert requests.post(url, json=body, headers=authorization(owner.bearer()), timeout=30).status_code == 400
