"""Access policies of both versions, conditions, authorizations, custom roles, settings."""

import secrets

import pytest
from ibm_platform_services.iam_policy_management_v1 import PoliciesPager, V2PoliciesPager

from avouch_interop import clients
from avouch_interop.clients import EDITOR, VIEWER, attribute
from avouch_interop.paging import pages_of_one

UNKNOWN = "00000000-0000-4000-8000-00000000dead"


def user() -> str:
    """IAM id of nobody: policies may name identities that do not exist."""
    return f"IBMid-{secrets.token_hex(5).upper()}"


def v1_policy(settings, iam_id, role=VIEWER) -> dict:
    return {
        "type": "access",
        "subjects": [{"attributes": [{"name": "iam_id", "value": iam_id}]}],
        "roles": [{"role_id": role}],
        "resources": [
            {
                "attributes": [
                    {"name": "accountId", "value": settings.account},
                    {"name": "serviceType", "value": "service"},
                ],
                "tags": [{"name": "project", "value": "prototype", "operator": "stringEquals"}],
            }
        ],
    }


def v2_policy(settings, iam_id, role=VIEWER, **more) -> dict:
    return {
        "type": "access",
        "control": {"grant": {"roles": [{"role_id": role}]}},
        "subject": {"attributes": [attribute("iam_id", iam_id)]},
        "resource": {"attributes": [attribute("accountId", settings.account), attribute("serviceType", "service")]},
    } | more


WORKING_HOURS = {
    "pattern": "time-based-conditions:weekly:custom-hours",
    "rule": {
        "operator": "and",
        "conditions": [
            {
                "key": "{{environment.attributes.day_of_week}}",
                "operator": "dayOfWeekAnyOf",
                "value": ["1+00:00", "2+00:00", "3+00:00", "4+00:00"],
            },
            {
                "key": "{{environment.attributes.current_time}}",
                "operator": "timeGreaterThanOrEquals",
                "value": "09:00:00+00:00",
            },
            {
                "key": "{{environment.attributes.current_time}}",
                "operator": "timeLessThanOrEquals",
                "value": "17:00:00+00:00",
            },
        ],
    },
}


class TestVersion1:
    @pytest.fixture
    def policy(self, owner, settings, undo):
        sent = v1_policy(settings, user())
        answer = owner.policies.create_policy(**sent)
        undo(owner.policies.delete_policy, answer.get_result()["id"])
        return sent, answer

    def test_document_comes_back_as_it_was_sent(self, owner, settings, policy):
        sent, answer = policy
        made = answer.get_result()
        assert answer.get_status_code() == 201
        assert answer.get_headers()["ETag"]
        assert made["subjects"] == sent["subjects"]
        assert made["resources"] == sent["resources"]
        assert made["roles"][0]["role_id"] == VIEWER
        assert made["state"] == "active"
        assert made["href"].endswith(f"/v1/policies/{made['id']}")
        assert made["created_by_id"] == settings.owner
        assert made["created_at"].endswith("Z")
        read = owner.policies.get_policy(policy_id=made["id"])
        assert read.get_headers()["ETag"] == answer.get_headers()["ETag"]
        assert read.get_result()["resources"] == sent["resources"]

    def test_replace_wants_the_last_revision(self, owner, policy, refused):
        sent, answer = policy
        made, revision = answer.get_result(), answer.get_headers()["ETag"]
        replaced = owner.policies.replace_policy(
            policy_id=made["id"], if_match=revision, **(sent | {"roles": [{"role_id": EDITOR}]})
        )
        assert replaced.get_result()["roles"][0]["role_id"] == EDITOR
        assert replaced.get_headers()["ETag"] != revision
        with refused(409, "policy_conflict_error"):
            owner.policies.replace_policy(policy_id=made["id"], if_match=revision, **sent)

    def test_deleted_policy_is_restored_by_its_state(self, owner, settings, policy):
        sent, answer = policy
        made = answer.get_result()
        iam_id = sent["subjects"][0]["attributes"][0]["value"]
        assert owner.policies.delete_policy(policy_id=made["id"]).get_status_code() == 204
        assert owner.policies.list_policies(account_id=settings.account, iam_id=iam_id).get_result()["policies"] == []
        deleted = owner.policies.list_policies(account_id=settings.account, iam_id=iam_id, state="deleted").get_result()
        assert [each["id"] for each in deleted["policies"]] == [made["id"]]
        revision = owner.policies.get_policy(policy_id=made["id"]).get_headers()["ETag"]
        restored = owner.policies.update_policy_state(policy_id=made["id"], if_match=revision, state="active")
        assert restored.get_result()["state"] == "active"
        again = owner.policies.update_policy_state(
            policy_id=made["id"], if_match=restored.get_headers()["ETag"], state="active"
        )
        assert again.get_status_code() == 200

    def test_same_policy_twice_is_a_conflict_that_names_the_first(self, owner, policy, refused):
        sent, answer = policy
        with refused(409, "policy_conflict_error") as caught:
            owner.policies.create_policy(**sent)
        conflict = caught.value.http_response.json()["errors"][0]["details"]["conflicts_with"]["policy"]
        assert answer.get_result()["id"] in (conflict, isinstance(conflict, dict) and conflict.get("id"))

    def test_errors(self, owner, settings, refused):
        with refused(404, "policy_not_found", f"Policy with Id {UNKNOWN} not found."):
            owner.policies.get_policy(policy_id=UNKNOWN)
        with refused(400, "invalid_body"):
            owner.policies.create_policy(
                **v1_policy(settings, user(), role="crn:v1:bluemix:public:iam::::role:NoSuchRole")
            )
        with refused(400, "invalid_body"):
            owner.policies.create_policy(**(v1_policy(settings, user()) | {"type": "something"}))

    def test_pager_walks_pages_of_one(self, owner, settings, undo):
        iam_id = user()
        for role in (VIEWER, EDITOR, clients.OPERATOR):
            undo(
                owner.policies.delete_policy,
                owner.policies.create_policy(**v1_policy(settings, iam_id, role)).get_result()["id"],
            )
        pager = PoliciesPager(client=owner.policies, account_id=settings.account, iam_id=iam_id, limit=1)
        pages = 0
        found = []
        while pager.has_next():
            page = pager.get_next()
            assert len(page) <= 1
            found += page
            pages += 1
            assert pages < 10
        assert len({each["id"] for each in found}) == len(found) == 3


class TestVersion2:
    @pytest.fixture
    def policy(self, owner, settings, undo):
        sent = v2_policy(settings, user(), **WORKING_HOURS)
        answer = owner.policies.create_v2_policy(**sent)
        undo(owner.policies.delete_v2_policy, answer.get_result()["id"])
        return sent, answer

    def test_document_comes_back_as_it_was_sent(self, owner, policy):
        sent, answer = policy
        made = answer.get_result()
        assert answer.get_status_code() == 201
        for part in ("subject", "resource", "pattern", "rule", "type"):
            assert made[part] == sent[part]
        assert made["control"]["grant"]["roles"] == sent["control"]["grant"]["roles"]
        assert made["href"].endswith(f"/v2/policies/{made['id']}")
        read = owner.policies.get_v2_policy(id=made["id"])
        assert read.get_headers()["ETag"] == answer.get_headers()["ETag"]
        assert read.get_result()["rule"] == sent["rule"]
        shown = owner.policies.get_v2_policy(id=made["id"], format="display").get_result()
        role = shown["control"]["grant"]["roles"][0]
        assert role["display_name"] == "Viewer"
        assert role["actions"]

    def test_replace_wants_the_last_revision_and_delete_hides(self, owner, settings, policy, refused):
        sent, answer = policy
        made, revision = answer.get_result(), answer.get_headers()["ETag"]
        other = {key: value for key, value in sent.items() if key not in ("pattern", "rule")}
        replaced = owner.policies.replace_v2_policy(id=made["id"], if_match=revision, **other).get_result()
        assert "rule" not in replaced
        with refused(409, "policy_conflict_error"):
            owner.policies.replace_v2_policy(id=made["id"], if_match=revision, **sent)
        assert owner.policies.delete_v2_policy(id=made["id"]).get_status_code() == 204
        iam_id = sent["subject"]["attributes"][0]["value"]
        listed = owner.policies.list_v2_policies(account_id=settings.account, iam_id=iam_id).get_result()
        assert listed["policies"] == []

    def test_first_version_lists_it_as_a_placeholder(self, owner, settings, policy):
        sent, answer = policy
        iam_id = sent["subject"]["attributes"][0]["value"]
        listed = owner.policies.list_policies(account_id=settings.account, iam_id=iam_id).get_result()["policies"]
        assert [each["id"] for each in listed] == [answer.get_result()["id"]]
        assert "v2/policies" in listed[0]["href"]
        assert listed[0]["created_at"]

    def test_policy_of_the_first_version_is_upgraded_by_replacing_it(self, owner, settings, undo):
        iam_id = user()
        made = owner.policies.create_policy(**v1_policy(settings, iam_id))
        policy_id = made.get_result()["id"]
        undo(owner.policies.delete_v2_policy, policy_id)
        assert owner.policies.get_v2_policy(id=policy_id).get_result()["subject"]
        upgraded = owner.policies.replace_v2_policy(
            id=policy_id, if_match=made.get_headers()["ETag"], **v2_policy(settings, iam_id, **WORKING_HOURS)
        ).get_result()
        assert upgraded["id"] == policy_id
        assert upgraded["pattern"] == WORKING_HOURS["pattern"]

    @pytest.mark.parametrize(
        "change",
        [
            {"rule": WORKING_HOURS["rule"]},
            {"pattern": WORKING_HOURS["pattern"]},
            {"pattern": "no-such-pattern", "rule": WORKING_HOURS["rule"]},
            {"resource": {"attributes": [{"key": "accountId", "operator": "stringLike", "value": "x"}]}},
            {"control": {"grant": {"roles": []}}},
        ],
        ids=["rule alone", "pattern alone", "unknown pattern", "unknown operator", "no roles"],
    )
    def test_unfit_documents_are_400(self, owner, settings, refused, change):
        with refused(400, "invalid_body"):
            owner.policies.create_v2_policy(**v2_policy(settings, user(), **change))

    def test_pager_walks_pages_of_one(self, owner, settings, undo):
        iam_id = user()
        for role in (VIEWER, EDITOR, clients.OPERATOR):
            undo(
                owner.policies.delete_v2_policy,
                owner.policies.create_v2_policy(**v2_policy(settings, iam_id, role)).get_result()["id"],
            )
        pager = V2PoliciesPager(client=owner.policies, account_id=settings.account, iam_id=iam_id, limit=1)
        assert len({each["id"] for each in pages_of_one(pager)}) == 3

    def test_policy_in_force_only_in_the_past_permits_nothing(self, owner, settings, service_id, instance, secret, name, undo, refused):
        body = clients.policy_on_instance(settings, service_id["iam_id"], clients.SECRETS_READER, instance)
        key = "{{environment.attributes.current_date_time}}"
        body["pattern"] = "time-based-conditions:once"
        body["rule"] = {
            "operator": "and",
            "conditions": [
                {"key": key, "operator": "dateTimeGreaterThanOrEquals", "value": "2020-01-01T00:00:00+00:00"},
                {"key": key, "operator": "dateTimeLessThanOrEquals", "value": "2020-01-02T00:00:00+00:00"},
            ],
        }
        made = owner.policies.create_v2_policy(**body)
        policy_id = made.get_result()["id"]
        undo(owner.policies.delete_v2_policy, policy_id)
        apikey = owner.identity.create_api_key(name=name("key"), iam_id=service_id["iam_id"]).get_result()["apikey"]
        vault = clients.by_apikey(settings, apikey).secrets(instance)
        with refused(403):
            vault.get_secret(id=secret["id"])
        body["rule"]["conditions"][1]["value"] = "2099-01-01T00:00:00+00:00"
        owner.policies.replace_v2_policy(id=policy_id, if_match=made.get_headers()["ETag"], **body)
        assert vault.get_secret(id=secret["id"]).get_status_code() == 200

    def test_authorization_between_services(self, owner, settings, undo):
        body = {
            "type": "authorization",
            "control": {"grant": {"roles": [{"role_id": clients.READER}]}},
            "subject": {
                "attributes": [attribute("accountId", settings.account), attribute("serviceName", "secrets-manager")]
            },
            "resource": {"attributes": [attribute("accountId", settings.account), attribute("serviceName", "kms")]},
        }
        made = owner.policies.create_v2_policy(**body).get_result()
        undo(owner.policies.delete_v2_policy, made["id"])
        listed = owner.policies.list_v2_policies(account_id=settings.account, type="authorization").get_result()
        assert made["id"] in [each["id"] for each in listed["policies"]]


class TestRoles:
    def test_roles_of_account_management(self, owner):
        found = owner.policies.list_roles(service_group_id="IAM").get_result()
        assert found["custom_roles"] == []
        assert VIEWER in [each["crn"] for each in found["system_roles"]]
        creator = "crn:v1:bluemix:public:iam-identity::::serviceRole:ServiceIdCreator"
        assert creator in [each["crn"] for each in found["service_roles"]]

    def test_roles_of_one_service(self, owner):
        found = owner.policies.list_roles(service_name="secrets-manager").get_result()
        reader = next(each for each in found["service_roles"] if each["crn"] == clients.SECRETS_READER)
        assert "secrets-manager.secret.read" in reader["actions"]

    def test_custom_role_lives_through_create_replace_delete(self, owner, settings, undo, refused):
        word = "Interop" + secrets.token_hex(4)
        answer = owner.policies.create_role(
            display_name=f"Shown {word}",
            actions=["iam-groups.groups.read"],
            name=word,
            account_id=settings.account,
            service_name="iam-groups",
            description="of a test",
        )
        made = answer.get_result()
        undo(owner.policies.delete_role, made["id"])
        assert answer.get_status_code() == 201
        assert made["crn"].endswith(f":a/{settings.account}::customRole:{word}")
        listed = owner.policies.list_roles(account_id=settings.account, service_name="iam-groups").get_result()
        assert made["id"] in [each["id"] for each in listed["custom_roles"]]
        read = owner.policies.get_role(role_id=made["id"])
        replaced = owner.policies.replace_role(
            role_id=made["id"],
            if_match=read.get_headers()["ETag"],
            display_name=f"Other {word}",
            actions=["iam-groups.groups.read", "iam-groups.groups.list"],
        ).get_result()
        assert replaced["display_name"] == f"Other {word}"
        with refused(409, "role_conflict_error"):
            owner.policies.replace_role(
                role_id=made["id"], if_match=read.get_headers()["ETag"], display_name="x", actions=made["actions"]
            )
        assert owner.policies.delete_role(role_id=made["id"]).get_status_code() == 204
        with refused(404, "role_not_found"):
            owner.policies.get_role(role_id=made["id"])

    def test_custom_role_grants_exactly_its_actions(self, owner, settings, service_id, grant, instance, secret, name, undo, refused):
        word = "Interop" + secrets.token_hex(4)
        role = owner.policies.create_role(
            display_name=word,
            actions=["secrets-manager.secret.read", "secrets-manager.secret-metadata.read"],
            name=word,
            account_id=settings.account,
            service_name="secrets-manager",
        ).get_result()
        undo(owner.policies.delete_role, role["id"])
        grant(service_id["iam_id"], role["crn"])
        apikey = owner.identity.create_api_key(name=name("key"), iam_id=service_id["iam_id"]).get_result()["apikey"]
        vault = clients.by_apikey(settings, apikey).secrets(instance)
        assert vault.get_secret(id=secret["id"]).get_status_code() == 200
        with refused(403):
            vault.delete_secret(id=secret["id"])

    def test_unfit_roles_are_400(self, owner, settings, refused):
        base = {"account_id": settings.account, "service_name": "iam-groups", "display_name": "X"}
        for change in (
            {"name": "lower", "actions": ["iam-groups.groups.read"]},
            {"name": "Foreign", "actions": ["kms.secrets.wrap"]},
            {"name": "Empty", "actions": []},
        ):
            with refused(400, "invalid_body"):
                owner.policies.create_role(**(base | change))


def test_settings_of_external_identities(owner, settings, refused):
    read = owner.policies.get_settings(account_id=settings.account)
    revision = read.get_headers()["ETag"]
    types = read.get_result()["external_account_identity_interaction"]["identity_types"]
    assert set(types) >= {"user", "service_id", "service"}
    other = {"state": "monitor", "external_allowed_accounts": []}
    assert types["user"] != other
    for wanted in (other, types["user"]):
        changed = owner.policies.update_settings(
            account_id=settings.account,
            if_match=revision,
            external_account_identity_interaction={"identity_types": {"user": wanted}},
        )
        revision = changed.get_headers()["ETag"]
        for shown in (changed.get_result(), owner.policies.get_settings(account_id=settings.account).get_result()):
            now = shown["external_account_identity_interaction"]["identity_types"]
            assert now == types | {"user": wanted}
    with refused(409):
        owner.policies.update_settings(
            account_id=settings.account,
            if_match="0-00000000000000000000000000000000",
            external_account_identity_interaction={"identity_types": {"user": types["user"]}},
        )
