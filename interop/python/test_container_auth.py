"""A workload without any credential becomes a trusted profile and reads a secret; another one does not."""

import pytest
from ibm_cloud_sdk_core import ApiException

from avouch_interop import clients
from avouch_interop.workload import Cluster, generate_key, unverified
from ibm_secrets_manager_sdk.secrets_manager_v2 import SecretsManagerV2

NOT_ELIGIBLE = "Selected trusted profile not eligible."


@pytest.fixture
def trusted(owner, cluster, profile, grant):
    """A profile linked to `team-a`/`reader` of the cluster, allowed to read the instance's secrets."""
    link = {"crn": cluster.crn, "namespace": "team-a", "name": "reader"}
    owner.identity.create_link(profile_id=profile["id"], cr_type="IKS_SA", link=link)
    grant(profile["iam_id"])
    return profile


@pytest.fixture
def token_file(tmp_path):
    def write(token: str):
        path = tmp_path / "sa-token"
        path.write_text(token)
        return path

    return write


@pytest.mark.parametrize("selector", ["iam_profile_name", "iam_profile_id"])
def test_linked_service_account_reads_the_secret(settings, cluster, trusted, instance, secret, token_file, selector):
    chosen = {"iam_profile_name": trusted["name"], "iam_profile_id": trusted["id"]}[selector]
    workload = clients.by_token_file(settings, token_file(cluster.token()), **{selector: chosen})
    read = workload.secrets(instance).get_secret(id=secret["id"])
    assert read.get_status_code() == 200
    assert read.get_result()["payload"] == secret["payload"]


def test_name_and_id_of_one_profile_may_be_sent_together(settings, cluster, trusted, token_file):
    both = {"iam_profile_name": trusted["name"], "iam_profile_id": trusted["id"]}
    assert clients.by_token_file(settings, token_file(cluster.token()), **both).bearer()


def test_token_file_may_end_with_a_newline(settings, cluster, trusted, token_file):
    path = token_file(cluster.token() + "\n")
    assert clients.by_token_file(settings, path, iam_profile_id=trusted["id"]).bearer()


def test_everything_from_environment_variables(settings, cluster, trusted, instance, secret, token_file, monkeypatch):
    variables = {
        "URL": clients.secrets_url(settings, instance),
        "AUTH_TYPE": "container",
        "AUTH_URL": settings.url,
        "CR_TOKEN_FILENAME": str(token_file(cluster.token())),
        "IAM_PROFILE_NAME": trusted["name"],
    }
    for key, value in variables.items():
        monkeypatch.setenv(f"SECRETS_MANAGER_{key}", value)
    read = SecretsManagerV2.new_instance().get_secret(id=secret["id"]).get_result()
    assert read["payload"] == secret["payload"]


def test_token_names_the_profile_and_the_pod(settings, cluster, trusted, token_file):
    path = token_file(cluster.token(pod="reader-7f9"))
    workload = clients.by_token_file(settings, path, iam_profile_id=trusted["id"])
    claims = unverified(workload.bearer())
    assert claims["iam_id"] == claims["id"] == trusted["iam_id"]
    assert claims["sub"] == trusted["id"]
    assert claims["sub_type"] == "Profile"
    assert claims["account"]["bss"] == settings.account
    assert claims["iss"] == f"{settings.url}/identity"
    assert claims["grant_type"] == "urn:ibm:params:oauth:grant-type:cr-token"
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["authn"]["iam_id"] == claims["authn"]["sub"] == f"crn-{cluster.crn}"
    assert claims["authn"]["name"] == f"{cluster.name}:team-a:reader:reader-7f9"


@pytest.mark.parametrize(
    "workload", [{"service_account": "writer"}, {"namespace": "team-b"}, {"namespace": "TEAM-A"}], ids=str
)
def test_other_service_account_is_refused(settings, cluster, trusted, token_file, workload):
    outsider = clients.by_token_file(settings, token_file(cluster.token(**workload)), iam_profile_id=trusted["id"])
    with pytest.raises(ApiException) as caught:
        outsider.bearer()
    assert caught.value.status_code == 400
    if workload.get("namespace") != "TEAM-A":  # no name of a namespace: refused before a profile is looked at
        assert caught.value.message == NOT_ELIGIBLE
        assert clients.error_code(caught.value) == "BXNIM0398E"


def test_refusal_names_token_and_profile(settings, cluster, trusted, token_file, refused):
    path = token_file(cluster.token(service_account="writer", pod="writer-0"))
    with refused(400, "BXNIM0398E", NOT_ELIGIBLE) as caught:
        clients.by_token_file(settings, path, iam_profile_id=trusted["id"]).bearer()
    details = caught.value.http_response.json()["errorDetails"]
    assert f"{cluster.name}:team-a:writer:writer-0" in details
    assert trusted["id"] in details


def test_unknown_and_forbidden_profiles_are_refused_alike(settings, cluster, token_file, refused):
    path = token_file(cluster.token())
    for profile in ("Profile-00000000-0000-4000-8000-00000000dead", "iam-Profile-00000000-0000-4000-8000-00000000dead"):
        with refused(400, "BXNIM0398E", NOT_ELIGIBLE):
            clients.by_token_file(settings, path, iam_profile_id=profile).bearer()
    with refused(400, "BXNIM0398E", NOT_ELIGIBLE):
        clients.by_token_file(settings, path, iam_profile_name="interop-no-such-profile").bearer()


@pytest.mark.parametrize(
    "change, code",
    [
        ({"lifetime": 3601}, "BXNIM0480E"),
        ({"aud": ["https://kubernetes.default.svc"]}, "BXNIM0481E"),
        ({"iat": 1_600_000_000, "nbf": 1_600_000_000, "exp": 1_600_003_600}, "BXNIM0408E"),
        ({"iss": "https://nobody.clusters.test"}, "BXNIM0407E"),
        ({"sub": "system:serviceaccount:team-b:reader"}, None),
    ],
    ids=["too long", "other audience", "expired", "unknown issuer", "two namespaces"],
)
def test_unfit_cluster_token_is_refused(settings, cluster, trusted, token_file, refused, change, code):
    path = token_file(cluster.token(**change))
    with refused(400, code):
        clients.by_token_file(settings, path, iam_profile_id=trusted["id"]).bearer()


def test_signature_of_another_key_is_refused(settings, cluster, trusted, token_file, refused):
    forged = cluster.sign(cluster.claims("team-a", "reader", "reader-0"), key=generate_key())
    with refused(400, "BXNIM0407E"):
        clients.by_token_file(settings, token_file(forged), iam_profile_id=trusted["id"]).bearer()


def test_two_clusters_with_one_issuer_are_told_apart_by_key(settings, owner, name, undo, cluster, trusted, token_file):
    twin = Cluster(name("twin"), issuer=cluster.issuer).register(settings.url, owner.bearer())
    undo(twin.remove, settings.url, owner.bearer())
    with pytest.raises(ApiException) as caught:
        clients.by_token_file(settings, token_file(twin.token()), iam_profile_id=trusted["id"]).bearer()
    assert caught.value.message == NOT_ELIGIBLE
    assert clients.by_token_file(settings, token_file(cluster.token()), iam_profile_id=trusted["id"]).bearer()


def test_claim_rule_over_the_namespace_admits(settings, owner, cluster, profile, token_file, refused):
    owner.identity.create_claim_rule(
        profile_id=profile["id"],
        type="Profile-CR",
        cr_type="IKS_SA",
        conditions=[
            {"claim": "namespace", "operator": "EQUALS", "value": '"team-c"'},
            {"claim": "name", "operator": "IN", "value": '["batch","cron"]'},
            {"claim": "crn", "operator": "EQUALS", "value": f'"{cluster.crn}"'},
        ],
    )
    admitted = token_file(cluster.token(namespace="team-c", service_account="cron"))
    assert clients.by_token_file(settings, admitted, iam_profile_id=profile["id"]).bearer()
    other = token_file(cluster.token(namespace="team-c", service_account="web"))
    with refused(400, "BXNIM0398E", NOT_ELIGIBLE):
        clients.by_token_file(settings, other, iam_profile_id=profile["id"]).bearer()


def test_removed_link_stops_the_next_exchange(settings, owner, cluster, trusted, token_file, refused):
    path = token_file(cluster.token())
    assert clients.by_token_file(settings, path, iam_profile_id=trusted["id"]).bearer()
    owner.identity.delete_link_by_parameters(
        profile_id=trusted["id"], type="IKS_SA", crn=cluster.crn, namespace="team-a", name="reader"
    )
    with refused(400, "BXNIM0398E", NOT_ELIGIBLE):
        clients.by_token_file(settings, path, iam_profile_id=trusted["id"]).bearer()


def test_token_of_a_deleted_profile_is_dead_at_once(settings, owner, cluster, trusted, instance, secret, token_file, refused):
    vault = clients.by_token_file(settings, token_file(cluster.token()), iam_profile_id=trusted["id"]).secrets(instance)
    assert vault.get_secret(id=secret["id"]).get_status_code() == 200
    owner.identity.delete_profile(profile_id=trusted["id"])
    with refused(401):
        vault.get_secret(id=secret["id"])


def test_plain_reader_sees_metadata_but_no_payload(settings, owner, cluster, profile, grant, instance, secret, token_file, refused):
    link = {"crn": cluster.crn, "namespace": "team-a", "name": "reader"}
    owner.identity.create_link(profile_id=profile["id"], cr_type="IKS_SA", link=link)
    grant(profile["iam_id"], clients.READER)
    vault = clients.by_token_file(settings, token_file(cluster.token()), iam_profile_id=profile["id"]).secrets(instance)
    assert vault.get_secret_metadata(id=secret["id"]).get_result()["name"] == secret["name"]
    with refused(403):
        vault.get_secret(id=secret["id"])


def test_profile_without_any_policy_is_forbidden(settings, owner, cluster, profile, instance, secret, token_file, refused):
    link = {"crn": cluster.crn, "namespace": "team-a", "name": "reader"}
    owner.identity.create_link(profile_id=profile["id"], cr_type="IKS_SA", link=link)
    vault = clients.by_token_file(settings, token_file(cluster.token()), iam_profile_id=profile["id"]).secrets(instance)
    with refused(403):
        vault.get_secret(id=secret["id"])
    with refused(403):
        vault.get_secret(id="00000000-0000-4000-8000-000000000000")
