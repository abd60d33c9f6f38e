"""Virtual servers by the published client, and the published authenticator in the network of one."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ibm_cloud_sdk_core import ApiException
from ibm_vpc.vpc_v1 import Instance, InstanceInitialization, InstancesPager, VolumeAttachment

IMAGE = "r006-b9ebf1d8-a674-42e8-898e-0fcb08994f66"
LIMIT = 60


@pytest.fixture(scope="session")
def vpc(owner):
    return owner.vpc()


@pytest.fixture
def subnet(vpc, name, undo):
    net = vpc.create_vpc(name=name("net")).get_result()
    undo(vpc.delete_vpc, net["id"])
    prototype = {
        "name": name("subnet"),
        "vpc": {"id": net["id"]},
        "zone": {"name": "us-south-1"},
        "total_ipv4_address_count": 64,
    }
    made = vpc.create_subnet(subnet_prototype=prototype).get_result()
    undo(vpc.delete_subnet, made["id"])
    return made


def await_status(vpc, instance, wanted):
    deadline = time.monotonic() + LIMIT
    while True:
        found = vpc.get_instance(instance).get_result()
        if found["status"] == wanted:
            return found
        if found["status"] == "failed" and "AVOUCH_REQUIRE_NAMESPACES" not in os.environ:
            pytest.skip(f"this host runs no instances: {found['status_reasons']}")
        assert time.monotonic() < deadline and found["status"] != "failed", found
        time.sleep(0.1)


def remove(vpc, instance):
    """Deletes, and waits as clients do, until it is not found."""
    try:
        vpc.delete_instance(instance)
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            vpc.get_instance(instance)
            time.sleep(0.1)
        raise AssertionError(f"{instance} stays")
    except ApiException as error:
        if error.status_code != 404:
            raise


@pytest.fixture
def server(vpc, subnet, name, undo):
    def make(word, **more):
        prototype = {
            "name": name(word),
            "zone": {"name": "us-south-1"},
            "profile": {"name": "bx2-2x8"},
            "image": {"id": IMAGE},
            "primary_network_interface": {"subnet": {"id": subnet["id"]}},
        } | more
        made = vpc.create_instance(prototype).get_result()
        undo(remove, vpc, made["id"])
        return made

    return make


def test_an_instance_is_created_listed_changed_stopped_and_deleted(vpc, server, name):
    made = server("web", metadata_service={"enabled": True})
    assert Instance.from_dict(made).resource_type == "instance"
    running = await_status(vpc, made["id"], "running")
    assert Instance.from_dict(running).metadata_service.enabled
    pager = InstancesPager(client=vpc, limit=1)
    assert name("web") in [i["name"] for i in pager.get_all()]
    initial = vpc.get_instance_initialization(made["id"]).get_result()
    assert InstanceInitialization.from_dict(initial).keys == []
    attached = vpc.list_instance_volume_attachments(made["id"]).get_result()["volume_attachments"]
    assert VolumeAttachment.from_dict(attached[0]).type == "boot"
    nics = vpc.list_instance_network_interfaces(made["id"]).get_result()["network_interfaces"]
    assert nics[0]["id"] == made["primary_network_interface"]["id"]
    renamed = vpc.update_instance(made["id"], {"name": name("shop")}).get_result()
    assert renamed["name"] == name("shop")
    assert vpc.create_instance_action(made["id"], "stop").get_status_code() == 201
    assert await_status(vpc, made["id"], "stopped")["startable"]
    remove(vpc, made["id"])


TOKEN = """
import json
from ibm_cloud_sdk_core.authenticators import VPCInstanceAuthenticator
from ibm_cloud_sdk_core import ApiException
made = VPCInstanceAuthenticator(**json.loads(%r))
try:
    print(made.token_manager.get_token())
except ApiException as error:
    print(error.status_code, json.loads(error.http_response.text)["errors"][0]["code"])
"""


def inside(instance, **options):
    """What the published authenticator gets in the network of an instance."""
    record = Path(os.environ["INTEROP_AGENT_STATE"]) / "instances" / instance / "record"
    init = str(json.loads(record.read_text())["init"])
    enter = ["nsenter", "--target", init, "--net"]
    if os.geteuid() != 0:
        enter += ["--user", "--preserve-credentials"]
    done = subprocess.run([*enter, sys.executable, "-c", TOKEN % json.dumps(options)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_published_authenticator_gets_a_token_in_the_network_of_a_linked_instance(
    vpc, server, owner, settings, name, undo
):
    profile = owner.identity.create_profile(name=name("profile"), account_id=settings.account).get_result()
    undo(owner.identity.delete_profile, profile["id"])
    linked = server(
        "linked", metadata_service={"enabled": True}, default_trusted_profile={"target": {"id": profile["id"]}}
    )
    other = server("other", metadata_service={"enabled": True})
    for made in (linked, other):
        await_status(vpc, made["id"], "running")
    for options in ({}, {"iam_profile_id": profile["id"]}, {"iam_profile_crn": profile["crn"]}):
        assert inside(linked["id"], **options).count(".") == 2, options
    assert inside(other["id"]) == "400 missing_field"
    assert inside(other["id"], iam_profile_id=profile["id"]) == "400 profile_not_linked"
    links = owner.identity.list_links(profile_id=profile["id"]).get_result()["links"]
    assert [link["link"]["crn"] for link in links] == [linked["crn"]]
    remove(vpc, linked["id"])
    assert owner.identity.list_links(profile_id=profile["id"]).get_result()["links"] == []
