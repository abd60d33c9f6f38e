//! One of everything, for tests that ask about every endpoint.

use std::collections::HashMap;

use avouch_testkit::{Client, TestApp, TestIssuer};
use avouch_vpc::instances::{Status, life};
use avouch_wire::ids::AccountId;
use serde_json::{Value, json};

use crate::world_vpc;

/// Ids by the name of the path parameter or object.
pub struct World {
    ids: HashMap<&'static str, String>,
    pub issuer: TestIssuer,
}

/// The payload that must never be seen where it does not belong.
pub const PAYLOAD: &str = "canary-payload-4f1d";

fn id(v: &Value) -> String {
    v["id"].as_str().unwrap_or_default().to_owned()
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    let payload = avouch_crypto::base64url::decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

impl World {
    /// One of everything in the account of `admin`.
    pub async fn build(t: &TestApp, admin: &Client) -> Self {
        let mut ids = HashMap::new();
        let claims = claims(admin.token());
        let account = claims["account"]["bss"].as_str().unwrap();
        let make = async |path: &str, body: Value| {
            let r = admin.post(path, body).await;
            assert!(r.status == 201 || r.status == 200, "{path}: {} {}", r.status, r.body);
            r.body
        };
        let issuer = TestIssuer::new("https://kubernetes.default.svc.cluster.local");
        let cluster = make(
            "/avouch/v1/clusters",
            json!({"name": "one", "cr_type": "IKS_SA", "issuer": issuer.issuer, "jwks": issuer.jwks()}),
        )
        .await;
        ids.insert("cluster", id(&cluster));
        ids.insert("cluster_crn", cluster["crn"].as_str().unwrap().to_owned());
        let profile = id(&make("/v1/profiles", json!({"name": "p", "account_id": account})).await);
        let link = make(
            &format!("/v1/profiles/{profile}/links"),
            json!({"cr_type": "IKS_SA", "link": {"crn": cluster["crn"], "namespace": "ns", "name": "sa"}}),
        )
        .await;
        let rule = make(
            &format!("/v1/profiles/{profile}/rules"),
            json!({"type": "Profile-CR", "cr_type": "IKS_SA", "conditions": [
                {"claim": "namespace", "operator": "EQUALS", "value": "\"other\""}]}),
        )
        .await;
        let service_id =
            make("/v1/serviceids", json!({"account_id": account, "name": "s", "apikey": {"name": "k"}}))
                .await;
        make(
            &format!("/v1/profiles/{profile}/identities/serviceid"),
            json!({"type": "serviceid", "identifier": service_id["id"]}),
        )
        .await;
        let policy = make(
            "/v2/policies",
            json!({
                "type": "access",
                "subject": {"attributes": [{"key": "iam_id", "operator": "stringEquals", "value": format!("iam-{profile}")}]},
                "control": {"grant": {"roles": [{"role_id": "crn:v1:bluemix:public:iam::::role:Viewer"}]}},
                "resource": {"attributes": [
                    {"key": "accountId", "operator": "stringEquals", "value": account},
                    {"key": "serviceName", "operator": "stringEquals", "value": "kms"}]},
            }),
        )
        .await;
        let role = make(
            "/v2/roles",
            json!({"name": "Listing", "display_name": "Listing", "account_id": account, "service_name": "iam-groups",
                "actions": ["iam-groups.groups.list"]}),
        )
        .await;
        let group = make(&format!("/v2/groups?account_id={account}"), json!({"name": "g"})).await;
        let groups = admin.get("/v2/resource_groups").await.body;
        let default_group = id(&groups["resources"][0]);
        let instance = make(
            "/v2/resource_instances",
            json!({"name": "secrets", "target": "us-south", "resource_group": default_group,
                "resource_plan_id": "7713c3a8-3be8-4a9a-81bb-ee822fcaac3d"}),
        )
        .await;
        let instance = instance["guid"].as_str().unwrap().to_owned();
        let sm = format!("/secrets-manager/{instance}/api/v2");
        let secret = make(
            &format!("{sm}/secrets"),
            json!({"secret_type": "arbitrary", "name": "db", "payload": PAYLOAD}),
        )
        .await;
        let secret_group = make(&format!("{sm}/secret_groups"), json!({"name": "team"})).await;
        let resource_group = make("/v2/resource_groups", json!({"name": "rg", "account_id": account})).await;
        let serviceid_group =
            make("/v1/serviceid_groups", json!({"name": "sg", "account_id": account})).await;
        let rule_of_group = make(
            &format!("/v2/groups/{}/rules", id(&group)),
            json!({"name": "r", "expiration": 12, "realm_name": "https://idp.test",
                "conditions": [{"claim": "c", "operator": "EQUALS", "value": "v"}]}),
        )
        .await;
        let ci = TestIssuer::new("https://ci.test");
        let ci_kid = ci.kid.clone();
        let ci = make(
            "/avouch/v1/issuers",
            json!({"name": "ci", "issuer": ci.issuer, "jwks": ci.jwks(), "audiences": ["avouch"]}),
        )
        .await;
        let user = make("/avouch/v1/users", json!({"email": "ada@avouch.test"})).await;
        let event = admin.get("/avouch/v1/audit/events?limit=1").await.body;
        // A login that may go on, for what is asked with refresh tokens.
        let key = service_id["apikey"]["apikey"].as_str().unwrap();
        let login = t
            .anon()
            .with_header("authorization", "Basic Yng6Yng=")
            .form(
                "/identity/token",
                &[("grant_type", "urn:ibm:params:oauth:grant-type:apikey"), ("apikey", key)],
            )
            .await;
        assert_eq!(login.status, 200, "{}", login.body);
        let second = make(
            "/v2/resource_instances",
            json!({"name": "gone", "target": "us-south", "resource_group": default_group,
                "resource_plan_id": "7713c3a8-3be8-4a9a-81bb-ee822fcaac3d"}),
        )
        .await;
        let second = second["guid"].as_str().unwrap();
        assert_eq!(admin.delete(&format!("/v2/resource_instances/{second}")).await.status, 204);
        let reclamations = admin.get("/v1/reclamations").await.body;
        Box::pin(world_vpc::build(admin, &mut ids)).await;
        // It can be started.
        let owner = AccountId::parse(account).unwrap();
        let stopped = life::change(t.app(), (&owner, &ids["server"]), |o| {
            o.status = Status::Stopped;
            true
        });
        Box::pin(stopped).await.unwrap();
        ids.insert("default_group", default_group.clone());
        ids.insert("reclamation", id(&reclamations["resources"][0]));
        ids.insert("kid", issuer.kid.clone());
        ids.insert("group_rule", id(&rule_of_group));
        ids.insert("issuer", id(&ci));
        ids.insert("issuer_kid", ci_kid);
        ids.insert("user", user["iam_id"].as_str().unwrap().to_owned());
        ids.insert("event", event["events"][0]["id"].as_str().unwrap_or_default().to_owned());
        ids.insert("apikey_value", key.to_owned());
        ids.insert("refresh_token", login.body["refresh_token"].as_str().unwrap().to_owned());
        ids.insert("profile", profile);
        ids.insert("link", id(&link));
        ids.insert("rule", id(&rule));
        ids.insert("serviceid", id(&service_id));
        ids.insert("serviceid_iam", service_id["iam_id"].as_str().unwrap().to_owned());
        ids.insert("apikey", id(&service_id["apikey"]));
        ids.insert("policy", id(&policy));
        ids.insert("role", id(&role));
        ids.insert("group", id(&group));
        ids.insert("instance", instance);
        ids.insert("secret", id(&secret));
        ids.insert("secret_group", id(&secret_group));
        ids.insert("resource_group", id(&resource_group));
        ids.insert("serviceid_group", id(&serviceid_group));
        ids.insert("account", account.to_owned());
        ids.insert("owner", claims["iam_id"].as_str().unwrap().to_owned());
        Self { ids, issuer }
    }

    pub fn get(&self, name: &str) -> &str {
        &self.ids[name]
    }

    /// The path with every parameter filled in.
    pub fn path(&self, template: &str) -> String {
        let object = match template.split('/').nth(2).unwrap_or_default() {
            "profiles" => "profile",
            "serviceids" => "serviceid",
            "serviceid_groups" => "serviceid_group",
            "apikeys" => "apikey",
            "policies" => "policy",
            "roles" => "role",
            "groups" => "group",
            "resource_instances" => "instance",
            "resource_groups" => "resource_group",
            "clusters" => "cluster",
            _ if template.starts_with("/avouch/v1/clusters") => "cluster",
            _ if template.contains("/secret_groups/{id}") => "secret_group",
            _ if template.contains("/secrets/{id}") => "secret",
            _ => "unknown",
        };
        let object = if template.starts_with("/secrets-manager") && template.contains("/secret_groups/{id}") {
            "secret_group"
        } else if template.starts_with("/secrets-manager") {
            "secret"
        } else {
            object
        };
        let unknown = "00000000-0000-4000-8000-00000000dead";
        let mut out = Vec::new();
        for part in template.split('/') {
            let Some(name) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
                out.push(part.to_owned());
                continue;
            };
            if let Some(object) = world_vpc::object(template, name).filter(|o| !o.is_empty()) {
                out.push(self.get(object).to_owned());
                continue;
            }
            out.push(match name {
                "instance" => self.get("instance").to_owned(),
                "account_id" => self.get("account").to_owned(),
                "rule" if object == "profile" => self.get("rule").to_owned(),
                "link" => self.get("link").to_owned(),
                "kind" | "identity_type" => "serviceid".into(),
                "identifier" => self.get("serviceid").to_owned(),
                "iam_id" if object == "user" => self.get("user").to_owned(),
                "iam_id" => self.get("serviceid_iam").to_owned(),
                "version" => "current".into(),
                "group_name" => "default".into(),
                "secret_type" => "arbitrary".into(),
                "name" => "db".into(),
                "action" => "restore".into(),
                "id" | "id_or_name" | "cluster" => {
                    self.ids.get(object).cloned().unwrap_or_else(|| unknown.into())
                }
                _ => self.ids.get(object).cloned().unwrap_or_else(|| unknown.into()),
            });
        }
        out.join("/")
    }

    /// The query that an endpoint cannot do without.
    pub fn query(&self, template: &str) -> String {
        match template {
            vpc if world_vpc::is_vpc(vpc) => world_vpc::ASKED.into(),
            "/v1/profiles"
            | "/v1/policies"
            | "/v2/policies"
            | "/v2/groups"
            | "/v2/groups/settings"
            | "/v1/serviceids"
            | "/v2/groups/_allgroups/members/{iam_id}" => {
                format!("?account_id={}", self.get("account"))
            }
            "/v1/profiles/{id}/links" => "?type=VSI".into(),
            // Its rule would hold the group otherwise.
            "/v2/groups/{access_group_id}" => "?force=true".into(),
            "/avouch/v1/trust" => format!("?profile_id={}", self.get("profile")),
            _ => String::new(),
        }
    }

    /// A body that is valid enough to reach the decision.
    pub fn body(&self, operation: &str) -> Value {
        let account = self.get("account");
        if let Some(body) = world_vpc::body(&|object| self.get(object).to_owned(), operation) {
            return body;
        }
        match operation {
            "create_profile" => json!({"name": "another", "account_id": account}),
            "update_profile" => json!({"description": "d"}),
            "create_claim_rule" | "update_claim_rule" => {
                json!({"type": "Profile-CR", "cr_type": "IKS_SA", "conditions": [
                {"claim": "namespace", "operator": "EQUALS", "value": "\"x\""}]})
            }
            "create_link" => json!({"cr_type": "IKS_SA",
                "link": {"crn": self.get("cluster_crn"), "namespace": "ns2", "name": "sa"}}),
            "set_profile_identities" => json!({"identities": []}),
            "set_profile_identity" => json!({"type": "serviceid", "identifier": self.get("serviceid")}),
            "create_service_id" => json!({"account_id": account, "name": "x"}),
            "update_service_id" | "update_api_key" => json!({"name": "renamed"}),
            "create_service_id_group" => json!({"account_id": account, "name": "x"}),
            "update_service_id_group" => json!({"name": "renamed"}),
            "create_api_key" => json!({"name": "x", "iam_id": self.get("serviceid_iam")}),
            "update_account_settings" => json!({"mfa": "NONE"}),
            "create_resource_group" => json!({"name": "x", "account_id": account}),
            "update_resource_group" => json!({"name": "renamed"}),
            "update_resource_instance" => json!({"name": "renamed"}),
            "create_secret" => json!({"secret_type": "arbitrary", "name": "x", "payload": "y"}),
            "create_secret_version" => json!({"payload": "z"}),
            "update_secret_metadata" => json!({"description": "d"}),
            "create_secret_group" => json!({"name": "x-team"}),
            "update_secret_group" => json!({"description": "d"}),
            "create_secret_locks_bulk" | "create_secret_version_locks_bulk" => {
                json!({"locks": [{"name": "l1"}]})
            }
            "explain" => json!({"access": {"iam_id": self.get("serviceid_iam"), "action": "kms.secrets.list",
                "resource": {"attributes": {"accountId": account, "serviceName": "kms"}}}}),
            "add_user" => json!({"email": "x@y.test"}),
            _ => json!({}),
        }
    }
}
