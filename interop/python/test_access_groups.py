"""Access groups: members, dynamic rules, and what a group's policy gives its members."""

import secrets

import pytest
from ibm_platform_services.iam_access_groups_v2 import AccessGroupMembersPager, AccessGroupsPager

from avouch_interop import clients
from avouch_interop.clients import attribute
from avouch_interop.paging import pages_of_one

CONDITIONS = [{"claim": "isManager", "operator": "EQUALS", "value": "true"}]
UNKNOWN = "AccessGroupId-00000000-0000-4000-8000-00000000dead"


def user() -> str:
    return f"IBMid-{secrets.token_hex(5).upper()}"


@pytest.fixture
def group(owner, settings, name, undo):
    answer = owner.groups.create_access_group(account_id=settings.account, name=name("group"))
    made = answer.get_result()
    undo(owner.groups.delete_access_group, made["id"], force=True)
    made["etag"] = answer.get_headers()["ETag"]
    return made


def add(owner, group, *members):
    body = [{"iam_id": iam_id, "type": kind} for iam_id, kind in members]
    return owner.groups.add_members_to_access_group(access_group_id=group["id"], members=body)


def test_new_group_has_the_published_form(owner, settings, group):
    assert group["id"].startswith("AccessGroupId-")
    assert group["description"] == ""
    assert group["account_id"] == settings.account
    assert group["created_by_id"] == settings.owner
    read = owner.groups.get_access_group(access_group_id=group["id"], show_federated=True, show_crn=True)
    assert read.get_headers()["ETag"] == group["etag"]
    assert read.get_result()["is_federated"] is False
    assert read.get_result()["crn"]


def test_update_wants_the_last_revision(owner, group, name, refused):
    changed = owner.groups.update_access_group(
        access_group_id=group["id"], if_match=group["etag"], name=name("renamed"), description="changed"
    ).get_result()
    assert (changed["name"], changed["description"]) == (name("renamed"), "changed")
    with refused(409):
        owner.groups.update_access_group(access_group_id=group["id"], if_match=group["etag"], description="stale")


def test_name_is_unique_whatever_its_case(owner, settings, group, refused):
    with refused(409):
        owner.groups.create_access_group(account_id=settings.account, name=group["name"].upper())


def test_pager_walks_pages_of_one(owner, settings, name, undo):
    ids = set()
    for word in ("a", "b", "c"):
        made = owner.groups.create_access_group(account_id=settings.account, name=name(word)).get_result()
        undo(owner.groups.delete_access_group, made["id"], force=True)
        ids.add(made["id"])
    pager = AccessGroupsPager(client=owner.groups, account_id=settings.account, limit=1, hide_public_access=True)
    listed = [each["id"] for each in pages_of_one(pager)]
    assert len(listed) == len(set(listed))
    assert ids <= set(listed)
    assert "AccessGroupId-PublicAccess" not in listed
    found = owner.groups.list_access_groups(account_id=settings.account, search=f"name:{name.part}").get_result()
    assert {each["id"] for each in found["groups"]} == ids
    assert found["total_count"] == 3


def test_public_group_is_there_and_cannot_be_deleted(owner, settings):
    everything = AccessGroupsPager(client=owner.groups, account_id=settings.account, limit=100).get_all()
    assert "AccessGroupId-PublicAccess" in [each["id"] for each in everything]
    with pytest.raises(Exception) as caught:
        owner.groups.delete_access_group(access_group_id="AccessGroupId-PublicAccess", force=True)
    assert 400 <= caught.value.status_code < 500


def test_members_are_added_listed_checked_and_removed(owner, group, profile, service_id, refused):
    someone = user()
    members = [(someone, "user"), (service_id["iam_id"], "service"), (profile["iam_id"], "profile")]
    for _ in range(2):
        answer = add(owner, group, *members)
        assert answer.get_status_code() == 207
        assert [each["status_code"] for each in answer.get_result()["members"]] == [200, 200, 200]
    for iam_id, _ in members:
        held = owner.groups.is_member_of_access_group(access_group_id=group["id"], iam_id=iam_id)
        assert held.get_status_code() == 204
    listed = AccessGroupMembersPager(client=owner.groups, access_group_id=group["id"], limit=1).get_all()
    assert {(each["iam_id"], each["type"]) for each in listed} == set(members)
    verbose = owner.groups.list_access_group_members(access_group_id=group["id"], type="service", verbose=True)
    assert [each["name"] for each in verbose.get_result()["members"]] == [service_id["name"]]
    gone = owner.groups.remove_member_from_access_group(access_group_id=group["id"], iam_id=someone)
    assert gone.get_status_code() == 204
    with refused(404):
        owner.groups.is_member_of_access_group(access_group_id=group["id"], iam_id=someone)
    several = owner.groups.remove_members_from_access_group(
        access_group_id=group["id"], members=[service_id["iam_id"], profile["iam_id"]]
    )
    assert several.get_status_code() == 207
    assert [each["status_code"] for each in several.get_result()["members"]] == [204, 204]


def test_removing_nobody_is_a_404_that_names_the_group(owner, group, refused):
    with refused(404) as caught:
        owner.groups.remove_members_from_access_group(access_group_id=group["id"], members=[user()])
    assert group["id"] in caught.value.message


def test_one_member_of_several_groups(owner, settings, group, name, undo, refused):
    second = owner.groups.create_access_group(account_id=settings.account, name=name("second")).get_result()
    undo(owner.groups.delete_access_group, second["id"], force=True)
    someone = user()
    added = owner.groups.add_member_to_multiple_access_groups(
        account_id=settings.account, iam_id=someone, type="user", groups=[group["id"], second["id"]]
    )
    assert added.get_status_code() == 207
    assert [each["status_code"] for each in added.get_result()["groups"]] == [200, 200]
    listed = owner.groups.list_access_groups(account_id=settings.account, iam_id=someone, hide_public_access=True)
    assert {each["id"] for each in listed.get_result()["groups"]} == {group["id"], second["id"]}
    removed = owner.groups.remove_member_from_all_access_groups(account_id=settings.account, iam_id=someone)
    assert removed.get_status_code() == 207
    with refused(404) as caught:
        owner.groups.remove_member_from_all_access_groups(account_id=settings.account, iam_id=someone)
    assert someone in caught.value.message


def test_dynamic_rule_lives_through_create_replace_delete(owner, group, refused):
    answer = owner.groups.add_access_group_rule(
        access_group_id=group["id"], expiration=24, realm_name="test realm", conditions=CONDITIONS, name="managers"
    )
    rule = answer.get_result()
    assert answer.get_status_code() == 201
    assert rule["conditions"] == CONDITIONS
    read = owner.groups.get_access_group_rule(access_group_id=group["id"], rule_id=rule["id"])
    changed = owner.groups.replace_access_group_rule(
        access_group_id=group["id"],
        rule_id=rule["id"],
        if_match=read.get_headers()["ETag"],
        expiration=12,
        realm_name="test realm",
        conditions=CONDITIONS,
        name="others",
    ).get_result()
    assert (changed["expiration"], changed["name"]) == (12, "others")
    rules = owner.groups.list_access_group_rules(access_group_id=group["id"]).get_result()["rules"]
    assert [each["id"] for each in rules] == [rule["id"]]
    gone = owner.groups.remove_access_group_rule(access_group_id=group["id"], rule_id=rule["id"])
    assert gone.get_status_code() == 204
    with refused(404):
        owner.groups.get_access_group_rule(access_group_id=group["id"], rule_id=rule["id"])


def test_group_with_members_is_deleted_only_by_force(owner, group, refused):
    add(owner, group, (user(), "user"))
    with refused(400):
        owner.groups.delete_access_group(access_group_id=group["id"])
    assert owner.groups.delete_access_group(access_group_id=group["id"], force=True).get_status_code() == 204
    with refused(404):
        owner.groups.get_access_group(access_group_id=group["id"])
    with refused(404):
        owner.groups.get_access_group(access_group_id=UNKNOWN)


def test_policy_of_the_group_is_the_members_right_until_removed(owner, settings, group, service_id, instance, secret, name, undo, refused):
    body = clients.policy_on_instance(settings, "", clients.SECRETS_READER, instance)
    body["subject"] = {"attributes": [attribute("access_group_id", group["id"])]}
    made = owner.policies.create_v2_policy(**body).get_result()
    undo(owner.policies.delete_v2_policy, made["id"])
    apikey = owner.identity.create_api_key(name=name("key"), iam_id=service_id["iam_id"]).get_result()["apikey"]
    vault = clients.by_apikey(settings, apikey).secrets(instance)
    with refused(403):
        vault.get_secret(id=secret["id"])
    add(owner, group, (service_id["iam_id"], "service"))
    assert vault.get_secret(id=secret["id"]).get_status_code() == 200
    owner.groups.remove_member_from_access_group(access_group_id=group["id"], iam_id=service_id["iam_id"])
    with refused(403):
        vault.get_secret(id=secret["id"])


def test_settings_of_public_access(owner, settings):
    found = owner.groups.get_account_settings(account_id=settings.account).get_result()
    assert found["account_id"] == settings.account
    before = found["public_access_enabled"]
    for enabled in (not before, before):
        changed = owner.groups.update_account_settings(account_id=settings.account, public_access_enabled=enabled)
        assert changed.get_result()["public_access_enabled"] is enabled
        read = owner.groups.get_account_settings(account_id=settings.account).get_result()
        assert read["public_access_enabled"] is enabled
