"""Life of trusted profiles, their claim rules, links and identities."""

import re

import pytest
from ibm_cloud_sdk_core import get_query_param

UNKNOWN = "Profile-00000000-0000-4000-8000-00000000dead"
CONDITIONS = [{"claim": "blueGroups", "operator": "EQUALS", "value": '"cloud-docs-dev"'}]


def fake_resource(settings):
    return f"crn:v1:staging:public:iam-identity::a/{settings.account}::computeresource:Fake-Compute-Resource"


def test_new_profile_has_the_published_form(owner, settings, name, undo):
    answer = owner.identity.create_profile(name=name("p"), account_id=settings.account, description="of a test")
    made = answer.get_result()
    undo(owner.identity.delete_profile, made["id"])
    assert answer.get_status_code() == 201
    assert re.fullmatch(r"Profile-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", made["id"])
    assert made["iam_id"] == f"iam-{made['id']}"
    assert made["crn"] == f"crn:v1:bluemix:public:iam-identity::a/{settings.account}::profile:{made['id']}"
    assert made["account_id"] == settings.account
    assert made["description"] == "of a test"
    assert "email" not in made
    for field in ("created_at", "modified_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d\+0000", made[field])
    assert re.fullmatch(r"\d+-[0-9a-f]{32}", made["entity_tag"])


def test_etag_header_is_the_entity_tag(owner, profile):
    answer = owner.identity.get_profile(profile_id=profile["id"])
    assert answer.get_headers()["ETag"] == answer.get_result()["entity_tag"] == profile["entity_tag"]


def test_update_merges_and_wants_the_last_revision(owner, profile, refused):
    changed = owner.identity.update_profile(
        profile_id=profile["id"], if_match=profile["entity_tag"], description="changed", email="a@example.test"
    ).get_result()
    assert changed["name"] == profile["name"]
    assert changed["description"] == "changed"
    assert changed["entity_tag"] != profile["entity_tag"]
    with refused(409):
        owner.identity.update_profile(profile_id=profile["id"], if_match=profile["entity_tag"], description="stale")
    forced = owner.identity.update_profile(profile_id=profile["id"], if_match="*", description="forced").get_result()
    assert forced["description"] == "forced"
    assert forced["email"] == "a@example.test"


def test_unknown_profile_is_404_even_with_a_stale_revision(owner, refused):
    with refused(404):
        owner.identity.update_profile(profile_id=UNKNOWN, if_match="dummy", description="x")
    for profile_id in (UNKNOWN, "invalid"):
        with refused(404):
            owner.identity.get_profile(profile_id=profile_id)
        with refused(404):
            owner.identity.delete_profile(profile_id=profile_id)


def test_names_are_unique_and_never_look_like_ids(owner, settings, profile, refused):
    with refused(409):
        owner.identity.create_profile(name=profile["name"], account_id=settings.account)
    for taken in (UNKNOWN, f"iam-{UNKNOWN}", profile["crn"]):
        with refused(400):
            owner.identity.create_profile(name=taken, account_id=settings.account)
    with refused(400):
        owner.identity.create_profile(name="interop", account_id="invalid")


def test_list_is_walked_with_pages_of_one(owner, settings, name, undo):
    made = []
    for word in ("one", "two", "three"):
        made.append(owner.identity.create_profile(name=name(word), account_id=settings.account).get_result()["id"])
        undo(owner.identity.delete_profile, made[-1])
    seen, token, pages = [], None, 0
    while True:
        page = owner.identity.list_profiles(
            account_id=settings.account, pagesize=1, pagetoken=token, filter=f'name co "{name.part}"'
        ).get_result()
        if pages == 0:
            assert page["offset"] == 0
        assert page["limit"] == 1
        assert len(page["profiles"]) <= 1
        seen += [profile["id"] for profile in page["profiles"]]
        pages += 1
        if "next" not in page:
            break
        token = get_query_param(page["next"], "pagetoken")
        assert pages < 10
    assert sorted(seen) == sorted(made)


def test_list_by_name_and_sorted(owner, settings, name, undo, refused):
    for word in ("b", "a", "c"):
        made = owner.identity.create_profile(name=name(word), account_id=settings.account).get_result()
        undo(owner.identity.delete_profile, made["id"])
    arguments = {"account_id": settings.account, "filter": f'name co "{name.part}"', "sort": "name"}
    up = owner.identity.list_profiles(order="asc", **arguments).get_result()["profiles"]
    down = owner.identity.list_profiles(order="desc", **arguments).get_result()["profiles"]
    assert [profile["name"] for profile in up] == [name("a"), name("b"), name("c")]
    assert [profile["id"] for profile in down] == [profile["id"] for profile in reversed(up)]
    single = owner.identity.list_profiles(account_id=settings.account, name=name("a")).get_result()["profiles"]
    assert [profile["name"] for profile in single] == [name("a")]
    with refused(400):
        owner.identity.list_profiles(account_id=settings.account, filter="name zz (")


def test_deleted_profile_is_gone(owner, profile, refused):
    assert owner.identity.delete_profile(profile_id=profile["id"]).get_status_code() == 204
    with refused(404):
        owner.identity.get_profile(profile_id=profile["id"])


def test_activity_counts_logins_only(owner, profile):
    activity = owner.identity.get_profile(profile_id=profile["id"], include_activity=True).get_result()["activity"]
    assert activity["authn_count"] == 0
    assert "last_authn" not in activity


class TestClaimRules:
    def test_saml_rule_lives_through_create_read_replace_delete(self, owner, profile, refused):
        answer = owner.identity.create_claim_rule(
            profile_id=profile["id"],
            type="Profile-SAML",
            realm_name="https://idp.example.test/saml",
            expiration=43200,
            conditions=CONDITIONS,
            name="docs",
        )
        assert answer.get_status_code() == 201
        rule = answer.get_result()
        assert rule["id"].startswith("ClaimRule-")
        assert rule["conditions"] == CONDITIONS
        assert rule["created_at"]
        read = owner.identity.get_claim_rule(profile_id=profile["id"], rule_id=rule["id"])
        assert read.get_headers()["ETag"] == read.get_result()["entity_tag"] == rule["entity_tag"]
        replaced = owner.identity.update_claim_rule(
            profile_id=profile["id"],
            rule_id=rule["id"],
            if_match=rule["entity_tag"],
            type="Profile-SAML",
            realm_name="https://idp.example.test/saml",
            expiration=33200,
            conditions=CONDITIONS,
        ).get_result()
        assert replaced["expiration"] == 33200
        with refused(409):
            owner.identity.update_claim_rule(
                profile_id=profile["id"],
                rule_id=rule["id"],
                if_match=rule["entity_tag"],
                type="Profile-SAML",
                realm_name="https://idp.example.test/saml",
                expiration=1,
                conditions=CONDITIONS,
            )
        rules = owner.identity.list_claim_rules(profile_id=profile["id"]).get_result()["rules"]
        assert [each["id"] for each in rules] == [rule["id"]]
        gone = owner.identity.delete_claim_rule(profile_id=profile["id"], rule_id=rule["id"])
        assert gone.get_status_code() == 204
        with refused(404):
            owner.identity.get_claim_rule(profile_id=profile["id"], rule_id=rule["id"])

    def test_compute_rule_has_an_expiration_all_the_same(self, owner, profile):
        rule = owner.identity.create_claim_rule(
            profile_id=profile["id"], type="Profile-CR", cr_type="VSI", conditions=CONDITIONS
        ).get_result()
        assert rule["cr_type"] == "VSI"
        assert rule["expiration"] == 3600

    @pytest.mark.parametrize(
        "body",
        [
            {"type": "", "conditions": CONDITIONS},
            {"type": "Profile-Other", "conditions": CONDITIONS},
            {"type": "Profile-CR", "conditions": CONDITIONS},
            {"type": "Profile-CR", "cr_type": "dummy", "conditions": CONDITIONS},
            {"type": "Profile-CR", "cr_type": "VSI", "conditions": []},
            {"type": "Profile-SAML", "expiration": 43200, "conditions": CONDITIONS},
            {"type": "Profile-SAML", "realm_name": "r", "conditions": CONDITIONS},
            {
                "type": "Profile-CR",
                "cr_type": "VSI",
                "conditions": [{"claim": "name", "operator": "LIKE", "value": '"x"'}],
            },
        ],
        ids=["no type", "other type", "no cr_type", "other cr_type", "empty", "no realm", "no expiration", "operator"],
    )
    def test_unfit_rule_is_400_before_the_profile_is_looked_up(self, owner, refused, body):
        with refused(400):
            owner.identity.create_claim_rule(profile_id=UNKNOWN, **body)

    def test_rule_of_an_unknown_profile_is_404(self, owner, refused):
        with refused(404):
            owner.identity.create_claim_rule(
                profile_id=UNKNOWN, type="Profile-CR", cr_type="VSI", conditions=CONDITIONS
            )


class TestLinks:
    def test_link_lives_through_create_read_delete(self, owner, settings, profile, refused):
        wanted = {"crn": fake_resource(settings), "namespace": "default", "name": "nice name"}
        answer = owner.identity.create_link(profile_id=profile["id"], name="nice link", cr_type="ROKS_SA", link=wanted)
        assert answer.get_status_code() == 201
        link = answer.get_result()
        assert link["id"].startswith("Link-")
        assert link["link"] == wanted
        assert link["name"] == "nice link"
        assert link["entity_tag"] and link["created_at"] and link["modified_at"]
        assert owner.identity.get_link(profile_id=profile["id"], link_id=link["id"]).get_result()["link"] == wanted
        links = owner.identity.list_links(profile_id=profile["id"]).get_result()["links"]
        assert [each["id"] for each in links] == [link["id"]]
        assert owner.identity.delete_link(profile_id=profile["id"], link_id=link["id"]).get_status_code() == 204
        with refused(404):
            owner.identity.get_link(profile_id=profile["id"], link_id=link["id"])

    def test_link_is_deleted_by_its_parameters(self, owner, settings, profile, refused):
        component = {
            "crn": fake_resource(settings),
            "component_type": "test_component_type",
            "component_name": "test_component_name",
        }
        owner.identity.create_link(profile_id=profile["id"], cr_type="CE", link=component)
        with refused(404):
            owner.identity.delete_link_by_parameters(
                profile_id=profile["id"], type="CE", **(component | {"component_name": "other"})
            )
        gone = owner.identity.delete_link_by_parameters(profile_id=profile["id"], type="CE", **component)
        assert gone.get_status_code() == 204
        assert owner.identity.list_links(profile_id=profile["id"]).get_result()["links"] == []

    def test_same_link_twice_is_a_conflict(self, owner, settings, profile, refused):
        link = {"crn": fake_resource(settings), "namespace": "default", "name": "twice"}
        owner.identity.create_link(profile_id=profile["id"], cr_type="IKS_SA", link=link)
        with refused(409):
            owner.identity.create_link(profile_id=profile["id"], cr_type="IKS_SA", link=link)

    def test_unfit_link_is_400_and_unknown_profile_404(self, owner, settings, profile, refused):
        link = {"crn": fake_resource(settings), "namespace": "default", "name": "x"}
        with refused(400):
            owner.identity.create_link(profile_id=UNKNOWN, cr_type="dummy", link=link)
        with refused(404):
            owner.identity.create_link(profile_id=UNKNOWN, cr_type="IKS_SA", link=link)
        with refused(400):
            owner.identity.create_link(profile_id=profile["id"], cr_type="IKS_SA", link={"crn": link["crn"]})
        foreign = link | {"crn": link["crn"].replace(settings.account, "f" * 32)}
        with refused(400):
            owner.identity.create_link(profile_id=profile["id"], cr_type="IKS_SA", link=foreign)


class TestIdentities:
    def test_set_starts_empty_with_a_revision_and_is_replaced(self, owner, settings, profile, service_id, refused):
        empty = owner.identity.get_profile_identities(profile_id=profile["id"])
        assert empty.get_result()["identities"] == []
        revision = empty.get_result()["entity_tag"]
        assert empty.get_headers()["ETag"] == revision
        wanted = [
            {"type": "user", "identifier": "IBMid-270000ABCD", "accounts": [settings.account], "description": "u"},
            {"type": "serviceid", "identifier": service_id["id"]},
        ]
        replaced = owner.identity.set_profile_identities(
            profile_id=profile["id"], if_match=revision, identities=wanted
        ).get_result()
        assert replaced["entity_tag"] != revision
        by_type = {each["type"]: each for each in replaced["identities"]}
        assert by_type["user"]["iam_id"] == "IBMid-270000ABCD"
        assert by_type["user"]["accounts"] == [settings.account]
        assert by_type["serviceid"]["iam_id"] == service_id["iam_id"]
        with refused(409):
            owner.identity.set_profile_identities(profile_id=profile["id"], if_match=revision, identities=[])
        cleared = owner.identity.set_profile_identities(profile_id=profile["id"], if_match="*", identities=[])
        assert cleared.get_result()["identities"] == []

    def test_single_identity_is_set_read_and_deleted_by_type(self, owner, settings, profile, service_id, refused):
        resource = f"crn:v1:bluemix:public:secrets-manager:us-south:a/{settings.account}:some-guid::"
        cases = [
            ("user", "IBMid-270000ABCE", "IBMid-270000ABCE", {"accounts": [settings.account]}),
            ("serviceid", service_id["id"], service_id["iam_id"], {"description": "batch"}),
            ("crn", resource, f"crn-{resource}", {"description": "the service"}),
        ]
        for kind, identifier, iam_id, more in cases:
            answer = owner.identity.set_profile_identity(
                profile_id=profile["id"], identity_type=kind, identifier=identifier, type=kind, **more
            )
            assert answer.get_status_code() == 200
            assert answer.get_result()["iam_id"] == iam_id
            path = {"profile_id": profile["id"], "identity_type": kind, "identifier_id": identifier}
            read = owner.identity.get_profile_identity(**path).get_result()
            assert (read["type"], read["identifier"], read["iam_id"]) == (kind, identifier, iam_id)
            assert owner.identity.delete_profile_identity(**path).get_status_code() == 204
            with refused(404):
                owner.identity.get_profile_identity(**path)

    def test_unfit_identities_are_400(self, owner, settings, profile, refused):
        with refused(400):
            owner.identity.set_profile_identity(
                profile_id=profile["id"], identity_type="user", identifier="IBMid-1", type="serviceid"
            )
        with refused(400):
            owner.identity.set_profile_identity(
                profile_id=profile["id"], identity_type="crn", identifier="no crn", type="crn"
            )
