"""VPC records by the published client: geography, images, keys, networks, floating addresses, placement groups."""

import base64
import secrets

import pytest
from ibm_vpc.vpc_v1 import (
    FloatingIP,
    Image,
    ImagesPager,
    Key,
    KeysPager,
    NetworkACL,
    PlacementGroup,
    PlacementGroupsPager,
    SecurityGroup,
    SecurityGroupsPager,
    Subnet,
    SubnetsPager,
    VirtualNetworkInterface,
    Volume,
    VPC,
    VpcsPager,
)

from avouch_interop import clients

ABSENT = "r006-00000000-0000-4000-8000-00000000dead"


@pytest.fixture(scope="session")
def vpc(owner):
    return owner.vpc()


@pytest.fixture
def zone(vpc):
    region = vpc.list_regions().get_result()["regions"][0]["name"]
    return {"name": vpc.list_region_zones(region).get_result()["zones"][0]["name"]}


@pytest.fixture
def network(vpc, name, undo):
    made = vpc.create_vpc(name=name("net")).get_result()
    undo(vpc.delete_vpc, made["id"])
    return made


@pytest.fixture
def subnet(vpc, network, zone, name, undo):
    prototype = {"name": name("subnet"), "vpc": {"id": network["id"]}, "zone": zone, "total_ipv4_address_count": 64}
    made = vpc.create_subnet(subnet_prototype=prototype).get_result()
    undo(vpc.delete_subnet, made["id"])
    return made


@pytest.fixture
def interface(vpc, subnet, name, undo):
    made = vpc.create_virtual_network_interface(name=name("eth"), subnet={"id": subnet["id"]}).get_result()
    undo(vpc.delete_virtual_network_interfaces, made["id"])
    return made


def public_key() -> str:
    parts = [b"ssh-ed25519", secrets.token_bytes(32)]
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} interop"


def paged(pager, wanted: set) -> set:
    """The wanted names among all that the pager finds, one page after the other."""
    found = set()
    while pager.has_next():
        found |= {item["name"] for item in pager.get_next()} & wanted
    return found


class TestGeography:
    def test_regions_and_zones_are_found_by_name(self, vpc):
        region = vpc.list_regions().get_result()["regions"][0]
        assert vpc.get_region(region["name"]).get_result() == region
        for zone in vpc.list_region_zones(region["name"]).get_result()["zones"]:
            assert vpc.get_region_zone(region["name"], zone["name"]).get_result() == zone
            assert zone["region"]["name"] == region["name"]

    def test_profiles_and_operating_systems_are_listed(self, vpc):
        assert vpc.get_instance_profile("bxf-2x8").get_result()["vcpu_count"] == {"type": "fixed", "value": 2}
        assert vpc.list_instance_profiles().get_result()["profiles"]
        assert vpc.list_volume_profiles().get_result()["profiles"]
        assert vpc.list_operating_systems().get_result()["operating_systems"]


class TestImages:
    def test_public_images_are_paged_and_read(self, vpc):
        pager = ImagesPager(client=vpc, limit=2, visibility="public")
        images = pager.get_all()
        assert len(images) > 2
        for image in images:
            Image.from_dict(vpc.get_image(image["id"]).get_result())


class TestKeys:
    def test_keys_are_made_paged_and_removed(self, vpc, name, undo):
        names = {name(word) for word in ("a", "b", "c")}
        for each in names:
            made = vpc.create_key(public_key=public_key(), name=each, type="ed25519").get_result()
            undo(vpc.delete_key, made["id"])
            assert Key.from_dict(made).fingerprint.startswith("SHA256:")
        assert paged(KeysPager(client=vpc, limit=1), names) == names

    def test_a_key_is_renamed_and_gone(self, vpc, name, refused):
        made = vpc.create_key(public_key=public_key(), name=name("key")).get_result()
        assert vpc.update_key(made["id"], {"name": name("other")}).get_result()["name"] == name("other")
        assert vpc.delete_key(made["id"]).get_status_code() == 204
        with refused(404, code="not_found"):
            vpc.get_key(made["id"])


class TestNetworks:
    def test_a_vpc_has_its_published_form_and_defaults(self, vpc, network, name):
        assert VPC.from_dict(network).status == "available"
        for default in ("security_group", "network_acl", "routing_table"):
            found = getattr(vpc, f"get_vpc_default_{default}")(network["id"]).get_result()
            assert found["id"] == network[f"default_{default}"]["id"]
        group = vpc.get_vpc_default_security_group(network["id"]).get_result()
        assert SecurityGroup.from_dict(group).vpc.id == network["id"]
        acl = vpc.get_vpc_default_network_acl(network["id"]).get_result()
        assert [rule.action for rule in NetworkACL.from_dict(acl).rules] == ["allow", "allow"]
        assert len(vpc.list_vpc_address_prefixes(network["id"]).get_result()["address_prefixes"]) == 3
        assert vpc.update_vpc(network["id"], {"name": name("renamed")}).get_result()["name"] == name("renamed")
        assert paged(VpcsPager(client=vpc, limit=1), {name("renamed")}) == {name("renamed")}

    def test_subnets_take_their_place_and_change_their_rules(self, vpc, network, subnet, name, undo):
        assert Subnet.from_dict(subnet).available_ipv4_address_count == 59
        assert paged(SubnetsPager(client=vpc, limit=1), {subnet["name"]}) == {subnet["name"]}
        acl = vpc.create_network_acl({"name": name("acl"), "vpc": {"id": network["id"]}}).get_result()
        put = vpc.replace_subnet_network_acl(subnet["id"], {"id": acl["id"]})
        assert (put.get_status_code(), put.get_result()["id"]) == (201, acl["id"])
        back = {"network_acl": {"id": network["default_network_acl"]["id"]}}
        assert vpc.update_subnet(subnet["id"], back).get_status_code() == 200
        assert vpc.delete_network_acl(acl["id"]).get_status_code() == 204
        reserved = vpc.create_subnet_reserved_ip(subnet["id"], name=name("kept")).get_result()
        assert reserved["owner"] == "user"
        assert vpc.delete_subnet_reserved_ip(subnet["id"], reserved["id"]).get_status_code() == 204

    def test_security_groups_and_their_rules(self, vpc, network, name, undo):
        made = vpc.create_security_group(vpc={"id": network["id"]}, name=name("group")).get_result()
        undo(vpc.delete_security_group, made["id"])
        rule = {"direction": "inbound", "protocol": "tcp", "port_min": 22, "port_max": 22}
        rule = vpc.create_security_group_rule(made["id"], rule).get_result()
        found = SecurityGroup.from_dict(vpc.get_security_group(made["id"]).get_result())
        assert [r.port_min for r in found.rules] == [22]
        changed = vpc.update_security_group_rule(made["id"], rule["id"], {"port_max": 23}).get_result()
        assert changed["port_max"] == 23
        assert vpc.delete_security_group_rule(made["id"], rule["id"]).get_status_code() == 204
        assert paged(SecurityGroupsPager(client=vpc, limit=1), {made["name"]}) == {made["name"]}

    def test_routes(self, vpc, network, zone, name):
        table = vpc.create_vpc_routing_table(network["id"], name=name("table")).get_result()
        route = vpc.create_vpc_routing_table_route(
            network["id"], table["id"], "192.168.0.0/24", zone, next_hop={"address": "10.240.0.9"}, name=name("route")
        ).get_result()
        assert vpc.get_vpc_routing_table_route(network["id"], table["id"], route["id"]).get_result() == route
        assert vpc.delete_vpc_routing_table(network["id"], table["id"]).get_status_code() == 204

    def test_a_vpc_with_subnets_stays(self, vpc, network, subnet, refused):
        with refused(409, code="in_use"):
            vpc.delete_vpc(network["id"])


class TestAddresses:
    def test_an_interface_gets_a_floating_address(self, vpc, interface, name, undo):
        VirtualNetworkInterface.from_dict(interface)
        made = vpc.create_floating_ip({"name": name("fip"), "target": {"id": interface["id"]}}).get_result()
        undo(vpc.delete_floating_ip, made["id"])
        assert FloatingIP.from_dict(made).address == made["address"]
        assert made["target"]["id"] == interface["id"]
        bound = vpc.list_network_interface_floating_ips(interface["id"]).get_result()["floating_ips"]
        assert [ip["address"] for ip in bound] == [made["address"]]
        loose = vpc.update_floating_ip(made["id"], {"target": None}).get_result()
        assert "target" not in loose

    def test_deleting_an_interface_answers_with_it(self, vpc, subnet):
        made = vpc.create_virtual_network_interface(subnet={"id": subnet["id"]}).get_result()
        gone = vpc.delete_virtual_network_interfaces(made["id"])
        assert (gone.get_status_code(), gone.get_result()["lifecycle_state"]) == (200, "deleting")


class TestTheRest:
    def test_placement_groups(self, vpc, name):
        made = vpc.create_placement_group(strategy="host_spread", name=name("apart")).get_result()
        assert PlacementGroup.from_dict(made).strategy == "host_spread"
        assert paged(PlacementGroupsPager(client=vpc, limit=1), {name("apart")}) == {name("apart")}
        assert vpc.delete_placement_group(made["id"]).get_status_code() == 204

    def test_volumes_and_the_header_that_tags_need(self, vpc, zone, name, undo, refused):
        prototype = {"name": name("disk"), "profile": {"name": "general-purpose"}, "zone": zone, "capacity": 20}
        made = vpc.create_volume(volume_prototype=prototype).get_result()
        undo(vpc.delete_volume, made["id"])
        assert Volume.from_dict(made).capacity == 20
        with refused(400, code="missing_field"):
            vpc.update_volume(made["id"], {"user_tags": ["a:b"]})
        etag = vpc.get_volume(made["id"]).get_headers()["ETag"]
        tagged = vpc.update_volume(made["id"], {"user_tags": ["a:b"]}, if_match=etag).get_result()
        assert tagged["user_tags"] == ["a:b"]

    def test_what_is_wrong_is_told_in_the_published_shape(self, vpc, refused):
        with refused(404, code="not_found"):
            vpc.get_vpc(ABSENT)
        with refused(400, code="invalid_value"):
            vpc.create_vpc(name="Not A Name")
        with refused(400, code="not_found"):
            vpc.create_security_group(vpc={"id": ABSENT})
