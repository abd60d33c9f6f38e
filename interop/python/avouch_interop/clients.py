"""The published clients, unmodified, pointed at one server."""

from ibm_cloud_sdk_core import ApiException
from ibm_cloud_sdk_core.authenticators import ContainerAuthenticator, IAMAuthenticator
from ibm_platform_services import (
    IamAccessGroupsV2,
    IamIdentityV1,
    IamPolicyManagementV1,
    ResourceControllerV2,
    ResourceManagerV2,
    UserManagementV1,
)
from ibm_secrets_manager_sdk.secrets_manager_v2 import SecretsManagerV2
from ibm_vpc import VpcV1

from .settings import Settings

SECRETS_MANAGER_PLAN = "7713c3a8-3be8-4a9a-81bb-ee822fcaac3d"
PLAIN_PLAN = "00000000-0000-4000-8000-00000000a001"
RECLAMATION_PLAN = "00000000-0000-4000-8000-00000000a002"

SECRETS_READER = "crn:v1:bluemix:public:secrets-manager::::serviceRole:SecretsReader"
READER = "crn:v1:bluemix:public:iam::::serviceRole:Reader"
VIEWER = "crn:v1:bluemix:public:iam::::role:Viewer"
EDITOR = "crn:v1:bluemix:public:iam::::role:Editor"
OPERATOR = "crn:v1:bluemix:public:iam::::role:Operator"


class Clients:
    """Every published service client for one authenticator."""

    def __init__(self, settings: Settings, authenticator):
        self.settings = settings
        self.authenticator = authenticator
        self.identity = self._at_origin(IamIdentityV1)
        self.policies = self._at_origin(IamPolicyManagementV1)
        self.groups = self._at_origin(IamAccessGroupsV2)
        self.resources = self._at_origin(ResourceControllerV2)
        self.resource_groups = self._at_origin(ResourceManagerV2)
        self.users = self._at_origin(UserManagementV1)

    def _at_origin(self, kind):
        client = kind(authenticator=self.authenticator)
        client.set_service_url(self.settings.url)
        return client

    def secrets(self, instance: str) -> SecretsManagerV2:
        client = SecretsManagerV2(authenticator=self.authenticator)
        client.set_service_url(secrets_url(self.settings, instance))
        return client

    def vpc(self) -> VpcV1:
        client = VpcV1(version="2026-01-01", authenticator=self.authenticator)
        client.set_service_url(f"{self.settings.url}/v1")
        return client

    def bearer(self) -> str:
        return self.authenticator.token_manager.get_token()


def secrets_url(settings: Settings, instance: str) -> str:
    return f"{settings.url}/secrets-manager/{instance}"


def by_apikey(settings: Settings, apikey: str) -> Clients:
    return Clients(settings, IAMAuthenticator(apikey, url=settings.url))


def by_token_file(settings: Settings, path, **profile) -> Clients:
    return Clients(settings, ContainerAuthenticator(cr_token_filename=str(path), url=settings.url, **profile))


def error_code(error: ApiException) -> str:
    """Machine code of an answer in any of the published shapes."""
    body = error.http_response.json()
    if "errors" in body:
        first = body["errors"][0]
        return first.get("message_code") or first.get("code")
    return body.get("errorCode") or body.get("error_code")


def policy_on_instance(settings: Settings, iam_id: str, role: str, instance: str, **resource) -> dict:
    """Arguments of `create_v2_policy`: one role for one identity on one Secrets Manager instance."""
    attributes = {"accountId": settings.account, "serviceName": "secrets-manager", "serviceInstance": instance} | resource
    return {
        "type": "access",
        "control": {"grant": {"roles": [{"role_id": role}]}},
        "subject": {"attributes": [attribute("iam_id", iam_id)]},
        "resource": {"attributes": [attribute(key, value) for key, value in attributes.items()]},
    }


def attribute(key: str, value, operator: str = "stringEquals") -> dict:
    return {"key": key, "operator": operator, "value": value}
