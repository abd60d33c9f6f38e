"""Secrets of the simple types: life cycle, versions, metadata, locks, groups, look-up by name, lists."""

import datetime

import pytest
from ibm_secrets_manager_sdk.secrets_manager_v2 import SecretLocksPager, SecretsLocksPager, SecretsPager

from avouch_interop import clients
from avouch_interop.paging import pages_of_one

ABSENT = "00000000-0000-4000-8000-00000000dead"
LOCKED = "The requested action can't be completed because the secret version is locked."


@pytest.fixture
def make(vault, undo):
    def create(**prototype):
        answer = vault.create_secret(secret_prototype=prototype)
        undo(vault.delete_secret, answer.get_result()["id"])
        return answer

    return create


@pytest.fixture
def group(vault, name, undo):
    made = vault.create_secret_group(name=name("group"), description="of a test").get_result()
    undo(vault.delete_secret_group, made["id"])
    return made


class TestGroups:
    def test_group_lives_through_create_update_delete(self, vault, settings, name, undo, refused):
        answer = vault.create_secret_group(name=name("g"), description="of a test")
        made = answer.get_result()
        undo(vault.delete_secret_group, made["id"])
        assert answer.get_status_code() == 201
        assert made["created_by"] == settings.owner
        assert vault.get_secret_group(id=made["id"]).get_result()["name"] == name("g")
        patch = {"name": name("g"), "description": "changed"}
        changed = vault.update_secret_group(id=made["id"], secret_group_patch=patch).get_result()
        assert changed["description"] == "changed"
        listed = vault.list_secret_groups().get_result()
        assert made["id"] in [each["id"] for each in listed["secret_groups"]]
        assert listed["total_count"] == len(listed["secret_groups"])
        with refused(409) as caught:
            vault.create_secret_group(name=name("g"))
        assert "already exists" in caught.value.message
        assert vault.delete_secret_group(id=made["id"]).get_status_code() == 204
        with refused(404):
            vault.get_secret_group(id=made["id"])

    def test_default_group_is_listed_and_kept(self, vault):
        assert "default" in [each["id"] for each in vault.list_secret_groups().get_result()["secret_groups"]]
        assert vault.get_secret_group(id="default").get_result()["name"] == "default"
        with pytest.raises(Exception) as caught:
            vault.delete_secret_group(id="default")
        assert 400 <= caught.value.status_code < 500

    def test_group_with_secrets_is_kept(self, vault, group, make, name, refused):
        make(secret_type="arbitrary", name=name("in"), payload="p", secret_group_id=group["id"])
        with refused(409):
            vault.delete_secret_group(id=group["id"])


class TestTypes:
    def test_arbitrary(self, vault, make, name, settings, instance):
        expires = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
        answer = make(
            secret_type="arbitrary",
            name=name("dsn"),
            description="of a test",
            payload="postgres://a",
            labels=["dev", "us south"],
            custom_metadata={"team": "core"},
            version_custom_metadata={"ticket": 1},
            expiration_date=expires,
        )
        made = answer.get_result()
        assert answer.get_status_code() == 201
        assert made["secret_type"] == "arbitrary"
        assert made["payload"] == "postgres://a"
        assert made["secret_group_id"] == "default"
        assert made["labels"] == ["dev", "us south"]
        assert made["custom_metadata"] == {"team": "core"}
        assert (made["state"], made["state_description"]) == (1, "active")
        assert (made["versions_total"], made["locks_total"], made["downloaded"]) == (1, 0, False)
        assert made["expiration_date"].startswith(expires[:19])
        assert made["created_by"] == settings.owner
        assert made["crn"] == (
            f"crn:v1:bluemix:public:secrets-manager:{settings.region}:a/{settings.account}:{instance}:secret:{made['id']}"
        )
        assert "version_custom_metadata" not in made

    def test_username_password_with_rotation(self, vault, make, name):
        made = make(
            secret_type="username_password",
            name=name("login"),
            username="app",
            password="correct horse battery",
            rotation={"auto_rotate": True, "interval": 10, "unit": "day"},
            password_generation_policy={"length": 20, "include_symbols": False},
        ).get_result()
        assert (made["username"], made["password"]) == ("app", "correct horse battery")
        assert made["rotation"] == {"auto_rotate": True, "interval": 10, "unit": "day"}
        assert made["next_rotation_date"]
        version = vault.create_secret_version(secret_id=made["id"], secret_version_prototype={}).get_result()
        assert version["username"] == "app"
        assert len(version["password"]) == 20
        assert version["password"].isalnum()
        patch = {"rotation": {"auto_rotate": False}}
        changed = vault.update_secret_metadata(id=made["id"], secret_metadata_patch=patch).get_result()
        assert changed["rotation"]["auto_rotate"] is False
        assert "next_rotation_date" not in changed

    def test_generated_password(self, make, name):
        made = make(secret_type="username_password", name=name("generated"), username="app").get_result()
        assert len(made["password"]) == 32
        assert made["rotation"] == {"auto_rotate": False}

    def test_kv(self, vault, make, name):
        data = {"key": "value", "deep": {"list": [1, 2, {"x": None}]}}
        made = make(secret_type="kv", name=name("kv"), data=data).get_result()
        assert made["data"] == data
        version = vault.create_secret_version(
            secret_id=made["id"], secret_version_prototype={"data": {"key": "other"}}
        ).get_result()
        assert version["data"] == {"key": "other"}
        assert vault.get_secret(id=made["id"]).get_result()["data"] == {"key": "other"}

    @pytest.mark.parametrize(
        "prototype",
        [
            {"secret_type": "arbitrary"},
            {"secret_type": "kv", "data": {}},
            {"secret_type": "username_password", "username": "a"},
            {"secret_type": "something", "payload": "p"},
            {"secret_type": "arbitrary", "payload": "p", "name": "-bad"},
            {"secret_type": "arbitrary", "payload": "p", "labels": ["x"]},
            {"secret_type": "arbitrary", "payload": "p" * 1_000_001},
        ],
        ids=["no payload", "empty kv", "short user", "type", "name", "short label", "too big"],
    )
    def test_unfit_prototypes_are_400(self, vault, name, refused, prototype):
        with refused(400):
            vault.create_secret(secret_prototype={"name": name("bad")} | prototype)

    def test_name_is_unique_per_type(self, make, secret, vault, name, refused):
        with refused(409) as caught:
            vault.create_secret(secret_prototype={"secret_type": "arbitrary", "name": secret["name"], "payload": "p"})
        assert "already exists" in caught.value.message
        make(secret_type="kv", name=secret["name"], data={"k": "v"})


class TestReading:
    def test_secret_metadata_and_marks(self, vault, secret):
        before = vault.get_secret_metadata(id=secret["id"]).get_result()
        assert "payload" not in before
        assert before["downloaded"] is False
        read = vault.get_secret(id=secret["id"]).get_result()
        assert read["payload"] == secret["payload"]
        after = vault.get_secret_metadata(id=secret["id"]).get_result()
        assert after["downloaded"] is True
        assert after["retrieved_at"] > before.get("retrieved_at", "")

    def test_by_name_type_and_group(self, vault, group, make, name, refused):
        made = make(secret_type="arbitrary", name=name("named"), payload="found", secret_group_id=group["id"]).get_result()
        where = {"secret_type": "arbitrary", "name": made["name"], "secret_group_name": group["name"]}
        assert vault.get_secret_by_name_type(**where).get_result()["payload"] == "found"
        for change in ({"secret_type": "kv"}, {"name": name("other")}, {"secret_group_name": "default"}):
            with refused(404):
                vault.get_secret_by_name_type(**(where | change))

    def test_unknown_and_malformed_ids_are_404(self, vault, refused):
        for call in (vault.get_secret, vault.get_secret_metadata, vault.delete_secret):
            with refused(404):
                call(id=ABSENT)

    def test_deleted_secret_is_gone(self, vault, secret, refused):
        assert vault.delete_secret(id=secret["id"]).get_status_code() == 204
        with refused(404):
            vault.get_secret(id=secret["id"])

    def test_metadata_patch(self, vault, make, name):
        made = make(
            secret_type="arbitrary", name=name("patched"), payload="p", expiration_date="2048-01-01T00:00:00Z"
        ).get_result()
        patch = {
            "name": name("renamed"),
            "description": "changed",
            "labels": ["label-1"],
            "custom_metadata": {"a": {"b": 1}},
            "expiration_date": None,
        }
        changed = vault.update_secret_metadata(id=made["id"], secret_metadata_patch=patch).get_result()
        assert changed["name"] == name("renamed")
        assert changed["description"] == "changed"
        assert changed["labels"] == ["label-1"]
        assert changed["custom_metadata"] == {"a": {"b": 1}}
        assert "expiration_date" not in changed
        assert "payload" not in changed


class TestVersions:
    def test_rotation_moves_current_to_previous(self, vault, secret, refused):
        answer = vault.create_secret_version(
            secret_id=secret["id"],
            secret_version_prototype={"payload": "second", "version_custom_metadata": {"n": 2}},
        )
        assert answer.get_status_code() == 201
        second = answer.get_result()
        assert (second["alias"], second["payload"], second["payload_available"]) == ("current", "second", True)
        assert second["version_custom_metadata"] == {"n": 2}
        assert vault.get_secret(id=secret["id"]).get_result()["payload"] == "second"
        previous = vault.get_secret_version(secret_id=secret["id"], id="previous").get_result()
        assert previous["payload"] == secret["payload"]
        third = vault.create_secret_version(secret_id=secret["id"], secret_version_prototype={"payload": "third"})
        versions = vault.list_secret_versions(secret_id=secret["id"]).get_result()
        assert versions["total_count"] == 3
        assert [each.get("alias") for each in versions["versions"]] == [None, "previous", "current"]
        assert [each["payload_available"] for each in versions["versions"]] == [False, True, True]
        by_id = vault.get_secret_version(secret_id=secret["id"], id=third.get_result()["id"]).get_result()
        assert by_id["payload"] == "third"
        first = vault.get_secret_version(secret_id=secret["id"], id=versions["versions"][0]["id"]).get_result()
        assert first["payload_available"] is False
        assert "payload" not in first

    def test_version_metadata(self, vault, secret, refused):
        read = vault.get_secret_version_metadata(secret_id=secret["id"], id="current").get_result()
        assert "payload" not in read
        assert (read["alias"], read["secret_id"]) == ("current", secret["id"])
        patch = {"version_custom_metadata": {"checked": True}}
        changed = vault.update_secret_version_metadata(
            secret_id=secret["id"], id="current", secret_version_metadata_patch=patch
        ).get_result()
        assert changed["version_custom_metadata"] == {"checked": True}
        with refused(404):
            vault.get_secret_version(secret_id=secret["id"], id="previous")

    def test_version_data_of_plain_types_cannot_be_deleted(self, vault, secret, refused):
        with refused(400):
            vault.delete_secret_version_data(secret_id=secret["id"], id="current")


class TestLocks:
    def test_lock_stops_delete_and_the_second_rotation(self, vault, secret, undo, refused):
        lock = {"name": "web-1", "description": "pod", "attributes": {"pod": "x"}}
        answer = vault.create_secret_locks_bulk(id=secret["id"], locks=[lock], mode="remove_previous")
        undo(vault.delete_secret_locks_bulk, secret["id"])
        assert answer.get_status_code() == 201
        found = answer.get_result()
        assert (found["secret_id"], found["secret_name"]) == (secret["id"], secret["name"])
        assert [(each["version_alias"], each["locks"]) for each in found["versions"]] == [("current", ["web-1"])]
        with refused(412, None, LOCKED):
            vault.delete_secret(id=secret["id"])
        rotated = {"secret_id": secret["id"], "secret_version_prototype": {"payload": "new"}}
        assert vault.create_secret_version(**rotated).get_status_code() == 201
        with refused(412, None, LOCKED):
            vault.create_secret_version(**rotated)
        moved = vault.create_secret_locks_bulk(
            id=secret["id"], locks=[{"name": "web-1"}], mode="remove_previous_and_delete"
        ).get_result()
        assert {each["version_alias"]: each["locks"] for each in moved["versions"]}["current"] == ["web-1"]
        previous = vault.get_secret_version(secret_id=secret["id"], id="previous").get_result()
        assert previous["payload_available"] is False
        removed = vault.delete_secret_locks_bulk(id=secret["id"])
        assert removed.get_status_code() == 200
        assert vault.delete_secret(id=secret["id"]).get_status_code() == 204

    def test_locks_are_replaced_listed_and_removed_by_name(self, vault, secret, undo):
        undo(vault.delete_secret_locks_bulk, secret["id"])
        for _ in range(2):
            locks = [{"name": "lock-example-1", "attributes": {"key": "value"}}, {"name": "lock-example-2"}]
            assert vault.create_secret_locks_bulk(id=secret["id"], locks=locks).get_status_code() == 201
        listed = pages_of_one(SecretLocksPager(client=vault, id=secret["id"], limit=1))
        assert {each["name"] for each in listed} == {"lock-example-1", "lock-example-2"}
        assert {each["secret_version_alias"] for each in listed} == {"current"}
        everywhere = pages_of_one(SecretsLocksPager(client=vault, limit=1, search="lock-example"))
        assert secret["id"] in [each["secret_id"] for each in everywhere]
        assert vault.get_secret_metadata(id=secret["id"]).get_result()["locks_total"] == 2
        by_version = {"secret_id": secret["id"], "id": "current"}
        assert vault.delete_secret_locks_bulk(id=secret["id"], name=["lock-example-1"]).get_status_code() == 200
        again = vault.delete_secret_version_locks_bulk(**by_version, name=["lock-example-1", "lock-example-2"])
        assert again.get_status_code() == 200
        assert vault.list_secret_version_locks(**by_version).get_result()["locks"] == []

    def test_previous_version_keeps_the_lock_set_on_it(self, vault, secret, undo):
        undo(vault.delete_secret_version_locks_bulk, secret["id"], "previous")
        vault.create_secret_locks_bulk(id=secret["id"], locks=[{"name": "lock-example-1"}])
        vault.create_secret_version(secret_id=secret["id"], secret_version_prototype={"payload": "second"})
        kept = vault.create_secret_version_locks_bulk(
            secret_id=secret["id"], id="previous", locks=[{"name": "lock-example-1"}], mode="remove_previous"
        )
        assert kept.get_status_code() == 201
        locks = vault.list_secret_version_locks(secret_id=secret["id"], id="previous").get_result()["locks"]
        assert [each["name"] for each in locks] == ["lock-example-1"]


class TestLists:
    def test_pager_search_groups_types_and_labels(self, vault, group, make, name):
        ids = []
        for word, label in (("a", "blue"), ("b", "green"), ("c", "blue")):
            ids.append(
                make(
                    secret_type="arbitrary",
                    name=name(word),
                    payload="p",
                    labels=[label, name.part],
                    secret_group_id=group["id"],
                ).get_result()["id"]
            )
        ids.append(make(secret_type="kv", name=name("d"), data={"k": "v"}).get_result()["id"])
        up = SecretsPager(client=vault, limit=1, sort="name", search=name.part).get_all()
        assert [each["id"] for each in up] == ids
        assert all("payload" not in each and "data" not in each for each in up)
        down = SecretsPager(client=vault, limit=3, sort="-name", search=name.part).get_all()
        assert [each["id"] for each in down] == ids[::-1]
        inside = vault.list_secrets(groups=[group["id"], ABSENT], search=name.part).get_result()
        assert inside["total_count"] == 3
        kinds = vault.list_secrets(secret_types=["kv"], search=name.part).get_result()["secrets"]
        assert [each["id"] for each in kinds] == ids[3:]
        blue = vault.list_secrets(match_all_labels=["blue", name.part]).get_result()["secrets"]
        assert {each["id"] for each in blue} == {ids[0], ids[2]}
        page = vault.list_secrets(search=name.part, limit=2, offset=2).get_result()
        assert (page["limit"], page["offset"], page["total_count"]) == (2, 2, 4)
        assert "next" not in page and page["previous"]["href"] and page["first"]["href"] and page["last"]["href"]


class TestAccess:
    @pytest.fixture
    def reader(self, owner, settings, instance, service_id, name):
        apikey = owner.identity.create_api_key(name=name("key"), iam_id=service_id["iam_id"]).get_result()["apikey"]
        return clients.by_apikey(settings, apikey).secrets(instance)

    def test_reader_of_one_group_sees_nothing_else(self, reader, service_id, grant, group, make, secret, name, refused):
        inside = make(secret_type="arbitrary", name=name("in"), payload="in", secret_group_id=group["id"]).get_result()
        grant(service_id["iam_id"], resourceType="secret-group", resource=group["id"])
        assert reader.get_secret(id=inside["id"]).get_result()["payload"] == "in"
        with refused(404) as hidden:
            reader.get_secret(id=secret["id"])
        with refused(404) as absent:
            reader.get_secret(id=ABSENT)
        assert hidden.value.message.replace(secret["id"], ABSENT) == absent.value.message
        listed = reader.list_secrets(search=name.part).get_result()
        assert [each["id"] for each in listed["secrets"]] == [inside["id"]]
        assert listed["total_count"] == 1

    def test_secrets_reader_changes_nothing(self, reader, service_id, grant, secret, name, refused):
        grant(service_id["iam_id"])
        with refused(403):
            reader.create_secret(secret_prototype={"secret_type": "arbitrary", "name": name("no"), "payload": "p"})
        with refused(403):
            reader.update_secret_metadata(id=secret["id"], secret_metadata_patch={"description": "no"})
        with refused(403):
            reader.create_secret_version(secret_id=secret["id"], secret_version_prototype={"payload": "no"})
        with refused(403):
            reader.delete_secret(id=secret["id"])

    def test_other_instance_of_the_account_is_another_world(self, owner, settings, secret, refused):
        with refused(404):
            owner.secrets(ABSENT).get_secret(id=secret["id"])
