"""API keys, and service IDs which assume a trusted profile."""

import base64

import jwt
import pytest
import requests
from ibm_cloud_sdk_core.authenticators import IAMAssumeAuthenticator

from avouch_interop import clients
from avouch_interop.clients import Clients
from avouch_interop.workload import unverified


@pytest.fixture
def service_key(owner, service_id, name, undo):
    made = owner.identity.create_api_key(name=name("key"), iam_id=service_id["iam_id"]).get_result()
    undo(owner.identity.delete_api_key, made["id"])
    return made


@pytest.fixture
def assumable(owner, profile, service_id):
    owner.identity.set_profile_identity(
        profile_id=profile["id"], identity_type="serviceid", identifier=service_id["id"], type="serviceid"
    )
    return profile


def test_apikey_of_a_service_id_acts_as_the_service_id(settings, service_id, service_key):
    claims = unverified(clients.by_apikey(settings, service_key["apikey"]).bearer())
    assert claims["iam_id"] == service_id["iam_id"]
    assert claims["sub"] == service_id["id"]
    assert claims["sub_type"] == "ServiceId"
    assert claims["name"] == service_id["name"]
    assert claims["account"] == {"valid": True, "bss": settings.account, "frozen": True}
    assert claims["client_id"] == "default"
    assert claims["scope"] == "ibm openid"


def test_service_id_reads_what_its_policy_allows(settings, service_id, service_key, grant, instance, secret, refused):
    vault = clients.by_apikey(settings, service_key["apikey"]).secrets(instance)
    with refused(403):
        vault.get_secret(id=secret["id"])
    grant(service_id["iam_id"])
    assert vault.get_secret(id=secret["id"]).get_result()["payload"] == secret["payload"]


@pytest.mark.parametrize("selector", ["id", "crn", "name"])
def test_profile_is_assumed_and_reads_the_secret(settings, service_key, assumable, grant, instance, secret, selector):
    grant(assumable["iam_id"])
    chosen = {
        "id": {"iam_profile_id": assumable["id"]},
        "crn": {"iam_profile_crn": assumable["crn"]},
        "name": {"iam_profile_name": assumable["name"], "iam_account_id": settings.account},
    }[selector]
    authenticator = IAMAssumeAuthenticator(service_key["apikey"], url=settings.url, **chosen)
    read = Clients(settings, authenticator).secrets(instance).get_secret(id=secret["id"]).get_result()
    assert read["payload"] == secret["payload"]


def test_assumed_token_tells_who_assumed(settings, service_id, service_key, assumable):
    authenticator = IAMAssumeAuthenticator(service_key["apikey"], url=settings.url, iam_profile_id=assumable["id"])
    claims = unverified(Clients(settings, authenticator).bearer())
    assert claims["iam_id"] == assumable["iam_id"]
    assert claims["authn"]["iam_id"] == service_id["iam_id"]
    assert claims["authn"]["sub"] == service_id["id"]
    assert claims["grant_type"] == "urn:ibm:params:oauth:grant-type:assume"


def test_service_id_that_is_no_identity_of_the_profile_is_refused(settings, service_key, profile, refused):
    authenticator = IAMAssumeAuthenticator(service_key["apikey"], url=settings.url, iam_profile_id=profile["id"])
    with refused(400, "BXNIM0398E", "Selected trusted profile not eligible."):
        Clients(settings, authenticator).bearer()


def test_assumed_profile_has_none_of_the_rights_of_the_service_id(settings, service_id, service_key, assumable, grant, instance, secret, refused):
    grant(service_id["iam_id"])
    authenticator = IAMAssumeAuthenticator(service_key["apikey"], url=settings.url, iam_profile_id=assumable["id"])
    with refused(403):
        Clients(settings, authenticator).secrets(instance).get_secret(id=secret["id"])


def test_unknown_apikey_is_refused_with_400(settings, refused):
    with refused(400, "BXNIM0415E"):
        clients.by_apikey(settings, "not-a-key-of-anybody-0123456789abcdef").bearer()


def test_token_reply_agrees_with_the_token(settings):
    form = {"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": settings.apikey}
    answer = requests.post(f"{settings.url}/identity/token", data=form, timeout=30)
    assert answer.status_code == 200
    body = answer.json()
    claims = unverified(body["access_token"])
    assert body["token_type"] == "Bearer"
    assert body["refresh_token"] == "not_supported"
    assert body["expiration"] == claims["exp"]
    assert body["expires_in"] == 3600
    assert answer.headers["Cache-Control"] == "no-store"


def test_public_client_of_the_command_line_gets_a_refresh_token_that_works_once(settings):
    form = {"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": settings.apikey}
    url = f"{settings.url}/identity/token"
    first = requests.post(url, data=form, auth=("bx", "bx"), timeout=30).json()
    again = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = requests.post(url, data=again, auth=("bx", "bx"), timeout=30)
    assert second.status_code == 200
    assert unverified(second.json()["access_token"])["client_id"] == "bx"
    fresh = {"grant_type": "refresh_token", "refresh_token": second.json()["refresh_token"]}
    other = requests.post(url, data=fresh, auth=("HOP55v1CCT", "HOP55v1CCT"), timeout=30)
    assert other.status_code in (400, 401), "another client's token"
    assert requests.post(url, data=fresh, auth=("bx", "bx"), timeout=30).status_code == 200
    assert requests.post(url, data=again, auth=("bx", "bx"), timeout=30).status_code == 400
    header = {"Authorization": "Basic " + base64.b64encode(b"someone:else").decode()}
    assert requests.post(url, data=again, headers=header, timeout=30).status_code in (400, 401)


def test_tokens_verify_offline_with_the_published_keys(settings, owner):
    discovery = requests.get(f"{settings.url}/identity/.well-known/openid-configuration", timeout=30).json()
    assert discovery["issuer"] == f"{settings.url}/identity"
    keys = jwt.PyJWKClient(discovery["jwks_uri"])
    token = owner.bearer()
    claims = jwt.decode(
        token,
        keys.get_signing_key_from_jwt(token).key,
        algorithms=["RS256"],
        issuer=discovery["issuer"],
        options={"verify_aud": False},
    )
    assert claims["iam_id"] == settings.owner


@pytest.mark.parametrize(
    "form, code",
    [
        ({}, "BXNIM0109E"),
        ({"grant_type": "something"}, "BXNIM0106E"),
        ({"grant_type": "urn:ibm:params:oauth:grant-type:apikey"}, "BXNIM0109E"),
        ({"grant_type": "urn:ibm:params:oauth:grant-type:cr-token", "profile_id": "x"}, "BXNIM0109E"),
        ({"grant_type": "urn:ibm:params:oauth:grant-type:cr-token", "profile_id": "Profile-00000000-0000-4000-8000-000000000000", "cr_token": "a.b"}, "BXNIM0407E"),
    ],
    ids=["nothing", "unknown grant", "no key", "no cr_token", "no token at all"],
)
def test_incomplete_forms_are_400(settings, form, code):
    answer = requests.post(f"{settings.url}/identity/token", data=form, timeout=30)
    assert answer.status_code == 400
    assert answer.json()["errorCode"] == code
