"""Life of service IDs, their groups, and API keys."""

import re

import pytest
from ibm_cloud_sdk_core import ApiException, get_query_param

from avouch_interop import clients

UNKNOWN = "ServiceId-00000000-0000-4000-8000-00000000dead"


@pytest.fixture
def key(owner, service_id, name, undo):
    made = owner.identity.create_api_key(
        name=name("key"), iam_id=service_id["iam_id"], description="of a test"
    ).get_result()
    undo(owner.identity.delete_api_key, made["id"])
    return made


def login(settings, key):
    return clients.by_apikey(settings, key["apikey"]).bearer()


class TestServiceIds:
    def test_new_service_id_has_the_published_form(self, owner, settings, service_id):
        assert re.fullmatch(r"ServiceId-[0-9a-f-]{36}", service_id["id"])
        assert service_id["iam_id"] == f"iam-{service_id['id']}"
        assert service_id["crn"] == f"crn:v1:bluemix:public:iam-identity::a/{settings.account}::serviceid:{service_id['id']}"
        assert service_id["locked"] is False
        assert service_id["account_id"] == settings.account
        read = owner.identity.get_service_id(id=service_id["id"])
        assert read.get_headers()["ETag"] == read.get_result()["entity_tag"] == service_id["entity_tag"]

    def test_update_wants_the_last_revision(self, owner, service_id, refused):
        changed = owner.identity.update_service_id(
            id=service_id["id"], if_match=service_id["entity_tag"], description="changed"
        ).get_result()
        assert (changed["name"], changed["description"]) == (service_id["name"], "changed")
        with refused(409):
            owner.identity.update_service_id(id=service_id["id"], if_match=service_id["entity_tag"], description="old")

    def test_history_begins_with_the_creation(self, owner, service_id):
        read = owner.identity.get_service_id(id=service_id["id"], include_history=True, include_activity=True)
        history = read.get_result()["history"]
        assert history
        for field in ("timestamp", "iam_id", "iam_id_account", "action", "params", "message"):
            assert field in history[0]
        assert read.get_result()["activity"]["authn_count"] == 0
        assert "history" not in owner.identity.get_service_id(id=service_id["id"]).get_result()

    def test_lock_refuses_changes_until_unlocked(self, owner, service_id, refused):
        assert owner.identity.lock_service_id(id=service_id["id"]).get_status_code() == 204
        locked = owner.identity.get_service_id(id=service_id["id"]).get_result()
        assert locked["locked"] is True
        with refused(409):
            owner.identity.update_service_id(id=service_id["id"], if_match=locked["entity_tag"], description="no")
        with refused(409):
            owner.identity.delete_service_id(id=service_id["id"])
        assert owner.identity.unlock_service_id(id=service_id["id"]).get_status_code() == 204
        assert owner.identity.get_service_id(id=service_id["id"]).get_result()["locked"] is False

    def test_created_locked_and_with_a_key(self, owner, settings, name, undo):
        made = owner.identity.create_service_id(
            account_id=settings.account,
            name=name("locked"),
            unique_instance_crns=[f"crn:v1:bluemix:public:test::a/{settings.account}:x::"],
            apikey={"name": name("with"), "store_value": True},
            entity_lock="true",
        ).get_result()
        undo(owner.identity.delete_service_id, made["id"])
        undo(owner.identity.unlock_service_id, made["id"])
        assert made["locked"] is True
        assert made["unique_instance_crns"]
        assert made["apikey"]["iam_id"] == made["iam_id"]
        assert login(settings, made["apikey"])

    def test_listed_by_exact_name_and_in_pages_of_one(self, owner, settings, name, undo):
        ids = []
        for word in ("x", "xx", "xxx"):
            ids.append(owner.identity.create_service_id(account_id=settings.account, name=name(word)).get_result()["id"])
            undo(owner.identity.delete_service_id, ids[-1])
        exact = owner.identity.list_service_ids(account_id=settings.account, name=name("x")).get_result()
        assert [each["id"] for each in exact["serviceids"]] == [ids[0]]
        seen, token = [], None
        for _ in range(10):
            page = owner.identity.list_service_ids(
                account_id=settings.account, pagesize=1, pagetoken=token, filter=f'name co "{name.part}"'
            ).get_result()
            assert len(page["serviceids"]) <= 1
            seen += [each["id"] for each in page["serviceids"]]
            if not page.get("next"):
                break
            token = get_query_param(page["next"], "pagetoken")
        assert sorted(seen) == sorted(ids)

    def test_deleting_removes_the_keys(self, owner, settings, service_id, key, refused):
        assert owner.identity.delete_service_id(id=service_id["id"]).get_status_code() == 204
        for call in (owner.identity.get_service_id, owner.identity.delete_service_id):
            with refused(404):
                call(id=service_id["id"])
        with refused(404):
            owner.identity.get_api_key(id=key["id"])
        with refused(400, "BXNIM0415E"):
            login(settings, key)

    def test_groups(self, owner, settings, name, undo, refused):
        answer = owner.identity.create_service_id_group(account_id=settings.account, name=name("g"), description="d")
        group = answer.get_result()
        undo(owner.identity.delete_service_id_group, group["id"])
        assert answer.get_status_code() == 201
        assert group["id"].startswith("ServiceIdGroup-")
        listed = owner.identity.list_service_id_group(account_id=settings.account).get_result()["serviceid_groups"]
        assert group["id"] in [each["id"] for each in listed]
        changed = owner.identity.update_service_id_group(
            id=group["id"], if_match=group["entity_tag"], name=name("g2")
        ).get_result()
        assert changed["name"] == name("g2")
        member = owner.identity.create_service_id(
            account_id=settings.account, name=name("in"), group_id=group["id"], show_group_id=True
        ).get_result()
        undo(owner.identity.delete_service_id, member["id"])
        assert member["group_id"] == group["id"]
        with refused(409):
            owner.identity.delete_service_id_group(id=group["id"])
        owner.identity.delete_service_id(id=member["id"])
        assert owner.identity.delete_service_id_group(id=group["id"]).get_status_code() == 204


class TestApiKeys:
    def test_new_key_has_the_published_form(self, settings, service_id, key):
        assert key["id"].startswith("ApiKey-")
        assert len(key["apikey"]) >= 32
        assert key["iam_id"] == service_id["iam_id"]
        assert key["account_id"] == settings.account
        assert key["created_by"] == settings.owner
        assert key["locked"] is False and key["disabled"] is False
        assert key["support_sessions"] is False
        assert key["action_when_leaked"] == "disable"
        assert key["crn"] and key["created_at"] and key["entity_tag"]
        assert "expires_at" not in key

    def test_value_is_shown_once_unless_stored(self, owner, service_id, key, name, undo):
        assert owner.identity.get_api_key(id=key["id"]).get_result()["apikey"] == ""
        stored = owner.identity.create_api_key(
            name=name("stored"), iam_id=service_id["iam_id"], store_value=True
        ).get_result()
        undo(owner.identity.delete_api_key, stored["id"])
        assert owner.identity.get_api_key(id=stored["id"]).get_result()["apikey"] == stored["apikey"]

    def test_own_value_of_32_characters_is_taken(self, owner, settings, service_id, name, undo, refused):
        value = f"chosen-{name.part}-0123456789012345678901234"
        made = owner.identity.create_api_key(name=name("own"), iam_id=service_id["iam_id"], apikey=value).get_result()
        undo(owner.identity.delete_api_key, made["id"])
        assert made["apikey"] == value
        assert login(settings, made)
        with refused(400):
            owner.identity.create_api_key(name=name("short"), iam_id=service_id["iam_id"], apikey="short")
        with refused(409):
            owner.identity.create_api_key(name=name("again"), iam_id=service_id["iam_id"], apikey=value)

    def test_value_finds_its_key(self, owner, settings, service_id, key, refused):
        found = owner.identity.get_api_keys_details(iam_api_key=key["apikey"], include_history=True).get_result()
        assert found["id"] == key["id"]
        assert found["iam_id"] == service_id["iam_id"]
        assert found["account_id"] == settings.account
        assert found["created_by"] == settings.owner
        assert found["locked"] is False
        with refused(404):
            owner.identity.get_api_keys_details(iam_api_key="no-such-value-0123456789012345678901234")

    def test_disabled_key_gives_no_token(self, owner, settings, key, refused):
        assert login(settings, key)
        assert owner.identity.disable_api_key(id=key["id"]).get_status_code() == 204
        assert owner.identity.get_api_key(id=key["id"]).get_result()["disabled"] is True
        with refused(400, "BXNIM0482E"):
            login(settings, key)
        assert owner.identity.enable_api_key(id=key["id"]).get_status_code() == 204
        assert login(settings, key)

    def test_locked_key_works_but_cannot_be_changed(self, owner, settings, key, refused):
        assert owner.identity.lock_api_key(id=key["id"]).get_status_code() == 204
        locked = owner.identity.get_api_key(id=key["id"]).get_result()
        assert locked["locked"] is True
        assert login(settings, key)
        with refused(409):
            owner.identity.update_api_key(id=key["id"], if_match=locked["entity_tag"], description="no")
        for call in (owner.identity.disable_api_key, owner.identity.delete_api_key):
            with refused(409):
                call(id=key["id"])
        assert owner.identity.unlock_api_key(id=key["id"]).get_status_code() == 204

    def test_update_wants_the_last_revision(self, owner, key, refused):
        changed = owner.identity.update_api_key(
            id=key["id"], if_match=key["entity_tag"], description="changed", expires_at="2049-01-02T18:30:00+0000"
        ).get_result()
        assert changed["description"] == "changed"
        assert changed["expires_at"] == "2049-01-02T18:30+0000"
        with refused(409):
            owner.identity.update_api_key(id=key["id"], if_match=key["entity_tag"], description="stale")

    def test_created_locked_and_disabled(self, owner, settings, service_id, name, undo, refused):
        made = owner.identity.create_api_key(
            name=name("off"), iam_id=service_id["iam_id"], entity_lock="true", entity_disable="true"
        ).get_result()
        undo(owner.identity.delete_api_key, made["id"])
        undo(owner.identity.unlock_api_key, made["id"])
        assert made["locked"] is True and made["disabled"] is True
        with refused(400, "BXNIM0482E"):
            login(settings, made)

    def test_expired_key_gives_no_token(self, owner, settings, service_id, name, undo):
        made = owner.identity.create_api_key(
            name=name("past"), iam_id=service_id["iam_id"], expires_at="2020-01-01T00:00+0000"
        ).get_result()
        undo(owner.identity.delete_api_key, made["id"])
        with pytest.raises(ApiException) as caught:
            login(settings, made)
        assert clients.error_code(caught.value) == "BXNIM0483E"

    def test_history_and_activity(self, owner, settings, service_id, key):
        login(settings, key)
        read = owner.identity.get_api_key(id=key["id"], include_history=True, include_activity=True).get_result()
        assert read["history"]
        assert read["activity"]["authn_count"] == 1
        assert read["activity"]["last_authn"]

    def test_listed_in_pages_of_one(self, owner, settings, service_id, name, undo):
        ids = []
        for word in ("x", "y", "z"):
            ids.append(owner.identity.create_api_key(name=name(word), iam_id=service_id["iam_id"]).get_result()["id"])
            undo(owner.identity.delete_api_key, ids[-1])
        seen, token = [], None
        for _ in range(10):
            page = owner.identity.list_api_keys(
                account_id=settings.account,
                iam_id=service_id["iam_id"],
                pagesize=1,
                pagetoken=token,
                scope="entity",
                type="serviceid",
                sort="name",
                include_history=True,
            ).get_result()
            assert len(page["apikeys"]) <= 1
            seen += [each["id"] for each in page["apikeys"]]
            assert all(each["history"] for each in page["apikeys"])
            if not page.get("next"):
                break
            token = get_query_param(page["next"], "pagetoken")
        assert seen == ids

    def test_own_user_key(self, owner, settings, name, undo):
        made = owner.identity.create_api_key(name=name("user"), iam_id=settings.owner).get_result()
        undo(owner.identity.delete_api_key, made["id"])
        assert made["account_id"] == settings.account
        assert login(settings, made)

    def test_user_key_of_another_user_is_refused(self, owner, name):
        with pytest.raises(ApiException) as caught:
            owner.identity.create_api_key(name=name("other"), iam_id="IBMid-270000ZZZZ")
        assert caught.value.status_code in (400, 403)

    def test_user_key_cannot_be_stored(self, owner, settings, name, refused):
        with refused(400):
            owner.identity.create_api_key(name=name("stored"), iam_id=settings.owner, store_value=True)
