"""One etcd, three API servers and one Avouch server for the whole run; clusters are registered by the tests."""

import secrets

import pytest

from avouch_interop import clients
from avouch_interop.server import AvouchServer
from kubernetes import DEFAULT_ISSUER, ApiServer, Authority, Etcd


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kubernetes")


@pytest.fixture(scope="session")
def etcd(folder):
    running = Etcd(folder)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def authority():
    return Authority()


def api_server(name, issuer=None):
    @pytest.fixture(scope="session", name=name)
    def running(folder, etcd, authority):
        server = ApiServer(folder, name, etcd, authority, issuer)
        yield server
        server.stop()

    return running


east = api_server("east")
"""Its issuer is its own address: discovery works from outside."""

west = api_server("west", DEFAULT_ISSUER)
north = api_server("north", DEFAULT_ISSUER)
"""Two clusters of the same default issuer, told apart by their keys alone."""


@pytest.fixture(scope="session")
def avouch(east):
    # Token files, and whom they may be shown to, are named in the server's own settings, never by a registration.
    reviewer = f"{east.url}={east.reviewer_token_file};{east.ca_file}"
    with AvouchServer(AVOUCH_FETCH_ALLOW="127.0.0.0/8", AVOUCH_FETCH_TOKEN_FILES=reviewer) as server:
        yield server


@pytest.fixture(scope="session")
def settings(avouch):
    return avouch.settings


@pytest.fixture(scope="session")
def owner(settings):
    made = clients.by_apikey(settings, settings.apikey)
    try:
        made.bearer()
    except Exception as error:  # the client waits a minute before each further try, so nothing else is worth trying
        pytest.exit(f"the owner cannot sign in: {error}", returncode=1)
    return made


@pytest.fixture(scope="session")
def instance(settings, owner):
    made = owner.resources.create_resource_instance(
        name=f"interop-{secrets.token_hex(5)}",
        target=settings.region,
        resource_group=settings.resource_group,
        resource_plan_id=clients.SECRETS_MANAGER_PLAN,
    )
    return made.get_result()["guid"]


@pytest.fixture(scope="session")
def secret(owner, instance):
    prototype = {"secret_type": "arbitrary", "name": f"interop-{secrets.token_hex(5)}", "payload": "only for the pod"}
    return owner.secrets(instance).create_secret(secret_prototype=prototype).get_result()
