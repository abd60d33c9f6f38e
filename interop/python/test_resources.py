"""Service instances, their keys, aliases, bindings and reclamation; resource groups."""

import time

import pytest
from ibm_platform_services.resource_controller_v2 import ResourceInstancesPager

from avouch_interop import clients

ABSENT = "00000000-0000-4000-8000-00000000dead"


@pytest.fixture
def make(owner, settings, undo):
    def create(name, plan=clients.PLAIN_PLAN, **more):
        answer = owner.resources.create_resource_instance(
            name=name, target="global", resource_group=settings.resource_group, resource_plan_id=plan, **more
        )
        undo(owner.resources.delete_resource_instance, answer.get_result()["guid"])
        return answer

    return create


@pytest.fixture
def thing(make, name):
    return make(name("plain")).get_result()


@pytest.fixture
def reclaimable(owner, settings, name, undo):
    made = owner.resources.create_resource_instance(
        name=name("reclaim"),
        target="global",
        resource_group=settings.resource_group,
        resource_plan_id=clients.RECLAMATION_PLAN,
    ).get_result()
    return made


def reclamations(owner, settings, instance):
    found = owner.resources.list_reclamations(account_id=settings.account, resource_instance_id=instance["guid"])
    return found.get_result()["resources"]


class TestInstances:
    def test_new_instance_has_the_published_form(self, settings, make, name):
        answer = make(name("new"), parameters={"hello": "bye"})
        made = answer.get_result()
        assert answer.get_status_code() == 201
        assert made["id"] == made["crn"]
        assert f":a/{settings.account}:{made['guid']}::" in made["crn"]
        assert made["name"] == name("new")
        assert made["account_id"] == settings.account
        assert made["resource_group_id"] == settings.resource_group
        assert made["resource_plan_id"] == clients.PLAIN_PLAN
        assert made["state"] == "active"
        assert made["locked"] is False
        assert made["last_operation"]["type"] == "create"
        assert made["last_operation"]["async"] is False
        assert made["last_operation"]["state"] == "succeeded"

    def test_guid_and_crn_name_the_same_instance(self, owner, thing):
        for identifier in (thing["guid"], thing["crn"]):
            assert owner.resources.get_resource_instance(id=identifier).get_result()["guid"] == thing["guid"]

    def test_update_lock_unlock(self, owner, thing, name, refused):
        changed = owner.resources.update_resource_instance(
            id=thing["guid"], name=name("renamed"), parameters={"hello": "hi"}
        ).get_result()
        assert changed["name"] == name("renamed")
        assert changed["last_operation"]["type"] == "update"
        locked = owner.resources.lock_resource_instance(id=thing["guid"]).get_result()
        assert locked["locked"] is True
        assert locked["last_operation"]["type"] == "lock"
        with refused(422):
            owner.resources.update_resource_instance(id=thing["guid"], name=name("no"))
        with refused(422):
            owner.resources.delete_resource_instance(id=thing["guid"])
        unlocked = owner.resources.unlock_resource_instance(id=thing["guid"]).get_result()
        assert unlocked["locked"] is False
        assert unlocked["last_operation"]["type"] == "unlock"

    def test_created_locked(self, owner, make, name, undo):
        made = make(name("locked"), entity_lock=True).get_result()
        undo(owner.resources.unlock_resource_instance, made["guid"])
        assert made["locked"] is True

    def test_removed_instance_stays_readable_and_hidden(self, owner, thing, refused):
        assert owner.resources.delete_resource_instance(id=thing["guid"]).get_status_code() == 204
        assert owner.resources.get_resource_instance(id=thing["guid"]).get_result()["state"] == "removed"
        assert owner.resources.list_resource_instances(guid=thing["guid"]).get_result()["resources"] == []
        removed = owner.resources.list_resource_instances(guid=thing["guid"], state="removed").get_result()
        assert [each["guid"] for each in removed["resources"]] == [thing["guid"]]
        with refused(410):
            owner.resources.delete_resource_instance(id=thing["guid"])
        with refused(422, None, "The instance is not cancelable."):
            owner.resources.cancel_lastop_resource_instance(id=thing["guid"])

    def test_pager_walks_pages_of_one(self, owner, make, name):
        guids = {make(name("same")).get_result()["guid"] for _ in range(3)}
        pager = ResourceInstancesPager(client=owner.resources, name=name("same"), limit=1)
        assert [pager.has_next(), len(pager.get_next())] == [True, 1]
        pager = ResourceInstancesPager(client=owner.resources, name=name("same"), limit=1)
        listed = [each["guid"] for each in pager.get_all()]
        assert sorted(listed) == sorted(guids)
        page = owner.resources.list_resource_instances(name=name("same"), limit=2).get_result()
        assert page["rows_count"] == 2
        assert page["next_url"]

    def test_errors(self, owner, settings, name, refused):
        with refused(404):
            owner.resources.get_resource_instance(id=ABSENT)
        with refused(404):
            owner.resources.create_resource_instance(
                name=name("x"), target="global", resource_group=settings.resource_group, resource_plan_id=ABSENT
            )
        with refused(400):
            owner.resources.create_resource_instance(
                name="bad/name?",
                target="global",
                resource_group=settings.resource_group,
                resource_plan_id=clients.PLAIN_PLAN,
            )

    def test_deleting_a_secrets_manager_instance_closes_it_until_restored(self, owner, settings, name, undo, refused):
        made = owner.resources.create_resource_instance(
            name=name("vault"),
            target=settings.region,
            resource_group=settings.resource_group,
            resource_plan_id=clients.SECRETS_MANAGER_PLAN,
        ).get_result()
        undo(owner.resources.delete_resource_instance, made["guid"])
        vault = owner.secrets(made["guid"])
        kept = vault.create_secret(secret_prototype={"secret_type": "arbitrary", "name": "kept", "payload": "p"})
        owner.resources.delete_resource_instance(id=made["guid"])
        with refused(404):
            vault.get_secret(id=kept.get_result()["id"])
        [row] = reclamations(owner, settings, made)
        owner.resources.run_reclamation_action(id=row["id"], action_name="restore")
        wait_for(owner, made, "active")
        assert vault.get_secret(id=kept.get_result()["id"]).get_result()["payload"] == "p"


def wait_for(owner, instance, state):
    deadline = time.monotonic() + 15
    while owner.resources.get_resource_instance(id=instance["guid"]).get_result()["state"] != state:
        assert time.monotonic() < deadline, f"not {state} within 15 s"
        time.sleep(0.2)


class TestReclamation:
    def test_scheduled_restored_and_reclaimed(self, owner, settings, reclaimable):
        owner.resources.delete_resource_instance(id=reclaimable["guid"])
        wait_for(owner, reclaimable, "pending_reclamation")
        found = owner.resources.get_resource_instance(id=reclaimable["guid"]).get_result()
        assert found["last_operation"]["type"] == "reclamation"
        [row] = reclamations(owner, settings, reclaimable)
        assert row["resource_instance_id"] == reclaimable["guid"]
        assert row["account_id"] == settings.account
        assert row["state"] == "SCHEDULED"
        restoring = owner.resources.run_reclamation_action(id=row["id"], action_name="restore", comment="not yet")
        assert restoring.get_result()["state"] == "RESTORING"
        wait_for(owner, reclaimable, "active")
        owner.resources.delete_resource_instance(id=reclaimable["guid"])
        wait_for(owner, reclaimable, "pending_reclamation")
        [row] = reclamations(owner, settings, reclaimable)
        reclaiming = owner.resources.run_reclamation_action(id=row["id"], action_name="reclaim", comment="now")
        assert reclaiming.get_result()["state"] == "RECLAIMING"
        wait_for(owner, reclaimable, "removed")
        assert reclamations(owner, settings, reclaimable) == []


class TestResourceGroups:
    def test_default_group_is_complete(self, owner, settings):
        listed = owner.resource_groups.list_resource_groups(account_id=settings.account, default=True).get_result()
        [group] = listed["resources"]
        assert group["id"] == settings.resource_group
        for field in ("id", "crn", "account_id", "name", "state", "quota_id", "quota_url", "created_at", "updated_at"):
            assert group[field]
        assert group["default"] is True

    def test_group_lives_through_create_rename_delete(self, owner, settings, name, undo, refused):
        answer = owner.resource_groups.create_resource_group(name=name("rg"), account_id=settings.account)
        made = answer.get_result()
        undo(owner.resource_groups.delete_resource_group, made["id"])
        assert answer.get_status_code() == 201
        assert set(made) == {"id", "crn"}
        read = owner.resource_groups.get_resource_group(id=made["id"]).get_result()
        assert (read["name"], read["state"], read["default"]) == (name("rg"), "ACTIVE", False)
        changed = owner.resource_groups.update_resource_group(id=made["id"], name=name("rg2")).get_result()
        assert changed["name"] == name("rg2")
        named = owner.resource_groups.list_resource_groups(account_id=settings.account, name=name("rg2")).get_result()
        assert [each["id"] for each in named["resources"]] == [made["id"]]
        with refused(409):
            owner.resource_groups.create_resource_group(name=name("rg2"), account_id=settings.account)
        assert owner.resource_groups.delete_resource_group(id=made["id"]).get_status_code() == 204
        with refused(404):
            owner.resource_groups.get_resource_group(id=made["id"])

    def test_group_in_use_and_default_group_are_kept(self, owner, settings, name, undo, refused):
        group = owner.resource_groups.create_resource_group(name=name("rg"), account_id=settings.account).get_result()
        undo(owner.resource_groups.delete_resource_group, group["id"])
        inside = owner.resources.create_resource_instance(
            name=name("in"), target="global", resource_group=group["id"], resource_plan_id=clients.PLAIN_PLAN
        ).get_result()
        undo(owner.resources.delete_resource_instance, inside["guid"])
        with refused(400):
            owner.resource_groups.delete_resource_group(id=group["id"])
        with refused(400):
            owner.resource_groups.delete_resource_group(id=settings.resource_group)

    def test_quota_definitions(self, owner):
        quotas = owner.resource_groups.list_quota_definitions().get_result()["resources"]
        assert quotas
        read = owner.resource_groups.get_quota_definition(id=quotas[0]["id"]).get_result()
        assert read["name"] == quotas[0]["name"]
