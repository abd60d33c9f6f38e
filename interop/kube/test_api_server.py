"""The other side by itself: what the tests of Avouch take for granted about a real API server."""

import jwt
import requests

from avouch_interop.workload import unverified
from kubernetes import DEFAULT_ISSUER, eventually


def test_bound_token_has_the_claims_of_a_projected_volume(east):
    pod = east.pod("facts", "reader", "reader-0")
    claims = unverified(east.token(pod))
    assert claims["iss"] == east.issuer
    assert claims["sub"] == "system:serviceaccount:facts:reader"
    assert claims["aud"] == ["iam"]
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["kubernetes.io"]["pod"] == {"name": "reader-0", "uid": pod["metadata"]["uid"]}
    assert "warnafter" not in claims["kubernetes.io"]


def test_default_mounted_token_is_for_the_api_server_and_lives_a_year(east):
    claims = unverified(east.token(east.pod("facts", "reader", "reader-1"), audiences=(), seconds=3607))
    assert claims["aud"] == [east.issuer]
    assert claims["exp"] - claims["iat"] > 300 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"]


def test_discovery_and_keys_are_open_and_verify_the_token(east):
    document = requests.get(east.discovery_url, verify=str(east.ca_file), timeout=30).json()
    assert document["issuer"] == east.issuer
    assert document["jwks_uri"] == east.jwks_url
    keys = jwt.PyJWKSet.from_dict(requests.get(east.jwks_url, verify=str(east.ca_file), timeout=30).json())
    token = east.token(east.pod("facts", "reader", "reader-2"))
    key = keys[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key.key, algorithms=["RS256"], audience="iam")


def test_two_clusters_of_the_default_issuer_sign_with_different_keys(west, north):
    tokens = [each.token(each.pod("facts", "reader", "reader-0")) for each in (west, north)]
    assert {unverified(token)["iss"] for token in tokens} == {DEFAULT_ISSUER}
    assert len({jwt.get_unverified_header(token)["kid"] for token in tokens}) == 2


def test_review_fails_once_the_pod_is_deleted(east):
    pod = east.pod("facts", "reader", "reader-3")
    token = east.token(pod)
    assert east.review(token)["authenticated"] is True
    east.delete_pod(pod)
    eventually(lambda: not east.review(token).get("authenticated"))  # it keeps a good answer for ten seconds


def test_another_signing_key_replaces_the_first(east):
    token = east.token(east.pod("facts", "reader", "reader-4"))
    east.restart_with_another_signing_key()
    fresh = east.token(east.pod("facts", "reader", "reader-5"))
    assert jwt.get_unverified_header(fresh)["kid"] != jwt.get_unverified_header(token)["kid"]
    assert [key["kid"] for key in requests.get(east.jwks_url, verify=str(east.ca_file), timeout=30).json()["keys"]] == [
        jwt.get_unverified_header(fresh)["kid"]
    ]
