"""Fixtures: each test makes its own objects with random names and gives them to `undo`."""

import secrets

import pytest
from ibm_cloud_sdk_core import ApiException

from avouch_interop import clients
from avouch_interop.settings import Settings
from avouch_interop.workload import Cluster


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings.from_environment()


@pytest.fixture(scope="session")
def owner(settings):
    made = clients.by_apikey(settings, settings.apikey)
    try:
        made.bearer()
    except Exception as error:  # the client waits a minute before each further try, so nothing else is worth trying
        pytest.exit(f"the owner cannot sign in: {error}", returncode=1)
    return made


@pytest.fixture
def name():
    """Makes a fresh name; all names of one test share a random part, so that lists can be narrowed to them."""
    part = secrets.token_hex(5)

    def make(word: str = "thing") -> str:
        return f"interop-{part}-{word}"

    make.part = part
    return make


class Undo:
    """Runs clean-up calls last first; what a test removed by itself is no error."""

    def __init__(self):
        self.calls = []

    def __call__(self, call, *arguments, **named):
        self.calls.append((call, arguments, named))

    def run(self):
        for call, arguments, named in reversed(self.calls):
            try:
                call(*arguments, **named)
            except ApiException as error:
                if error.status_code not in (404, 410):
                    raise


@pytest.fixture
def undo():
    undo = Undo()
    yield undo
    undo.run()


@pytest.fixture(scope="session")
def instance(settings, owner):
    """One Secrets Manager instance for the whole run."""
    made = owner.resources.create_resource_instance(
        name=f"interop-{secrets.token_hex(5)}",
        target=settings.region,
        resource_group=settings.resource_group,
        resource_plan_id=clients.SECRETS_MANAGER_PLAN,
    ).get_result()
    yield made["guid"]
    owner.resources.delete_resource_instance(made["guid"])


@pytest.fixture(scope="session")
def vault(owner, instance):
    """Secrets Manager client of the owner."""
    return owner.secrets(instance)


@pytest.fixture
def profile(owner, settings, name, undo):
    made = owner.identity.create_profile(name=name("profile"), account_id=settings.account).get_result()
    undo(owner.identity.delete_profile, made["id"])
    return made


@pytest.fixture
def service_id(owner, settings, name, undo):
    made = owner.identity.create_service_id(account_id=settings.account, name=name("service")).get_result()
    undo(owner.identity.delete_service_id, made["id"])
    return made


@pytest.fixture
def cluster(owner, settings, name, undo):
    made = Cluster(name("cluster")).register(settings.url, owner.bearer())
    undo(made.remove, settings.url, owner.bearer())
    return made


@pytest.fixture
def secret(vault, name, undo):
    prototype = {"secret_type": "arbitrary", "name": name("secret"), "payload": f"payload of {name.part}"}
    made = vault.create_secret(secret_prototype=prototype).get_result()
    undo(vault.delete_secret, made["id"])
    return made


@pytest.fixture
def grant(owner, settings, instance, undo):
    """Gives an identity a role on the instance (or a part of it)."""

    def give(iam_id: str, role: str = clients.SECRETS_READER, **resource):
        body = clients.policy_on_instance(settings, iam_id, role, instance, **resource)
        made = owner.policies.create_v2_policy(**body).get_result()
        undo(owner.policies.delete_v2_policy, made["id"])
        return made

    return give


@pytest.fixture
def refused():
    """`with refused(404):` around a call which the server must answer so; gives the exception to look at."""

    class Refused:
        def __init__(self, status, code=None, message=None):
            self.status, self.code, self.message = status, code, message

        def __enter__(self):
            self.raises = pytest.raises(ApiException)
            self.caught = self.raises.__enter__()
            return self.caught

        def __exit__(self, *outcome):
            swallowed = self.raises.__exit__(*outcome)
            if swallowed:
                error = self.caught.value
                body = error.http_response.text
                assert error.status_code == self.status, body
                if self.code:
                    assert clients.error_code(error) == self.code, body
                if self.message:
                    assert error.message == self.message, body
            return swallowed

    return Refused
