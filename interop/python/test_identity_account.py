"""Account-wide parts of the identity service: settings and first errors."""

import pytest
import requests

from avouch_interop import clients
from avouch_interop.workload import unverified


@pytest.fixture
def settings_of_account(owner, settings):
    """Current settings; put back after the test."""
    before = owner.identity.get_account_settings(account_id=settings.account).get_result()
    yield before
    names = ("session_invalidation_in_seconds", "system_access_token_expiration_in_seconds", "restrict_user_domains")
    owner.identity.update_account_settings(
        if_match="*", account_id=settings.account, **{name: before[name] for name in names}
    )


def test_settings_have_every_field_and_a_revision(owner, settings):
    answer = owner.identity.get_account_settings(account_id=settings.account, include_history=False)
    found = answer.get_result()
    assert answer.get_headers()["ETag"] == found["entity_tag"]
    assert found["account_id"] == settings.account
    assert isinstance(found["history"], list)
    for field in (
        "restrict_create_service_id restrict_create_platform_apikey restrict_user_list_visibility "
        "allowed_ip_addresses mfa user_mfa session_expiration_in_seconds session_invalidation_in_seconds "
        "max_sessions_per_identity system_access_token_expiration_in_seconds "
        "system_refresh_token_expiration_in_seconds restrict_user_domains"
    ).split():
        assert field in found


def test_update_is_partial_and_echoes(owner, settings, settings_of_account, refused):
    domains = [{"realm_id": "IBMid", "invitation_email_allow_patterns": ["*.*@company.test"], "restrict_invitation": True}]
    changed = owner.identity.update_account_settings(
        if_match=settings_of_account["entity_tag"],
        account_id=settings.account,
        session_invalidation_in_seconds="7200",
        restrict_user_domains=domains,
    ).get_result()
    assert changed["session_invalidation_in_seconds"] == "7200"
    assert changed["restrict_user_domains"] == domains
    assert changed["mfa"] == settings_of_account["mfa"]
    with refused(409):
        owner.identity.update_account_settings(
            if_match=settings_of_account["entity_tag"], account_id=settings.account, mfa="NONE"
        )
    with refused(400):
        owner.identity.update_account_settings(if_match="*", account_id=settings.account, mfa="SOMETIMES")
    effective = owner.identity.get_effective_account_settings(account_id=settings.account).get_result()
    assert effective["effective"]["session_invalidation_in_seconds"] == "7200"
    assert effective["account"]["session_invalidation_in_seconds"] == "7200"
    assert effective["assigned_templates"] == []


def test_lifetime_of_access_tokens_is_a_setting(owner, settings, settings_of_account, refused):
    owner.identity.update_account_settings(
        if_match="*", account_id=settings.account, system_access_token_expiration_in_seconds="900"
    )
    claims = unverified(clients.by_apikey(settings, settings.apikey).bearer())
    assert claims["exp"] - claims["iat"] == 900
    with refused(400):
        owner.identity.update_account_settings(
            if_match="*", account_id=settings.account, system_access_token_expiration_in_seconds="899"
        )


def test_templates_and_assignments_can_be_enumerated(owner, settings):
    identity = owner.identity
    assert identity.list_profile_templates(account_id=settings.account).get_result()["profile_templates"] == []
    listed = identity.list_account_settings_templates(account_id=settings.account).get_result()
    assert listed["account_settings_templates"] == []
    listed = identity.list_trusted_profile_assignments(account_id=settings.account).get_result()
    assert listed["assignments"] == []
    listed = identity.list_account_settings_assignments(account_id=settings.account).get_result()
    assert listed["assignments"] == []


def test_calls_without_a_valid_token_are_401(settings):
    url = f"{settings.url}/v1/profiles?account_id={settings.account}"
    missing = requests.get(url, timeout=30)
    assert (missing.status_code, missing.json()["errors"][0]["message_code"]) == (401, "BXNIM0308E")
    wrong = requests.get(url, headers={"Authorization": "Bearer a.b.c"}, timeout=30)
    assert (wrong.status_code, wrong.json()["errors"][0]["message_code"]) == (401, "BXNIM0407E")
    assert wrong.json()["status_code"] == 401


def test_transaction_id_is_echoed(owner, settings, profile):
    answer = owner.identity.get_profile(profile_id=profile["id"], headers={"Transaction-Id": "interop-4711"})
    assert answer.get_headers()["Transaction-Id"] == "interop-4711"
