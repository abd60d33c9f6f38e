//! A cluster's token issuer with real keys, for tests that need no API server.

use avouch_crypto::jws::{Alg, SigningKey, compact};
use serde_json::{Value, json};

/// Signs service-account tokens as an API server would.
pub struct TestIssuer {
    /// `iss` of its tokens.
    pub issuer: String,
    /// Key id.
    pub kid: String,
    key: SigningKey,
}

impl TestIssuer {
    /// An issuer with a fresh ES256 key (RS256 takes long to generate).
    pub fn new(issuer: &str) -> Self {
        Self::with_alg(issuer, Alg::ES256)
    }

    /// An issuer with a fresh key of `alg`.
    pub fn with_alg(issuer: &str, alg: Alg) -> Self {
        let key = SigningKey::generate(alg).unwrap();
        let kid = avouch_crypto::rng::hex(&avouch_crypto::rng::SystemRandom, 8);
        Self { issuer: issuer.to_owned(), kid, key }
    }

    /// Its key set.
    pub fn jwks(&self) -> Value {
        json!({"keys": [serde_json::to_value(self.key.jwk(&self.kid)).unwrap()]})
    }

    /// Claims of a token of a pod, valid for an hour from `now` (epoch seconds).
    pub fn claims(&self, namespace: &str, service_account: &str, pod: &str, now: i64) -> Value {
        json!({
            "iss": self.issuer,
            "sub": format!("system:serviceaccount:{namespace}:{service_account}"),
            "aud": ["iam"],
            "iat": now, "nbf": now, "exp": now + 3600,
            "jti": avouch_crypto::rng::uuid_v4(&avouch_crypto::rng::SystemRandom).to_string(),
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": service_account, "uid": "2c8b0a4e-0000-4000-8000-000000000001"},
                "pod": {"name": pod, "uid": "2c8b0a4e-0000-4000-8000-000000000002"},
            },
        })
    }

    /// Signs any claims.
    pub fn sign(&self, claims: &Value) -> String {
        compact(&self.key, &self.kid, claims)
    }

    /// Signs `header.payload` as it stands, for what no serialiser writes.
    pub fn sign_raw(&self, input: &str) -> String {
        format!("{input}.{}", avouch_crypto::base64url::encode(self.key.sign(input.as_bytes())))
    }

    /// A token of a pod.
    pub fn token(&self, namespace: &str, service_account: &str, pod: &str, now: i64) -> String {
        self.sign(&self.claims(namespace, service_account, pod, now))
    }
}
