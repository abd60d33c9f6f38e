//! Options that make up a secret, or a version of one, and the JSON that they mean. Every value may be `@file`.

use clap::Args;
use serde_json::{Map, Value, json};

use crate::failure::{Result, usage};
use crate::input::{json as json_value, raw};

/// Parts of a new secret.
#[derive(Debug, Default, Args)]
pub struct New {
    /// The whole secret as JSON
    #[arg(long, value_name = "JSON|@FILE")]
    secret_prototype: Option<String>,
    /// Name
    #[arg(long)]
    secret_name: Option<String>,
    /// Type: arbitrary, username_password or kv
    #[arg(long)]
    secret_type: Option<String>,
    /// Id of a group, or default
    #[arg(long)]
    secret_group_id: Option<String>,
    /// Text about it
    #[arg(long)]
    secret_description: Option<String>,
    /// Labels, separated by commas
    #[arg(long, value_delimiter = ',')]
    secret_labels: Vec<String>,
    /// When the secret ends (RFC 3339)
    #[arg(long, value_name = "TIME")]
    secret_expiration_date: Option<String>,
    /// An object of one's own, kept with the secret
    #[arg(long, value_name = "JSON|@FILE")]
    secret_custom_metadata: Option<String>,
    /// An object of one's own, kept with the version
    #[arg(long, value_name = "JSON|@FILE")]
    secret_version_custom_metadata: Option<String>,
    /// How long what is generated lives (types that are not built)
    #[arg(long, value_name = "DURATION")]
    secret_ttl: Option<String>,
    /// When the server makes a new version by itself
    #[arg(long, value_name = "JSON|@FILE")]
    secret_rotation: Option<String>,
    /// User name (username_password)
    #[arg(long, value_name = "TEXT|@FILE", allow_hyphen_values = true)]
    username_password_username: Option<String>,
    /// How passwords are made (username_password)
    #[arg(long, value_name = "JSON|@FILE")]
    username_password_policy: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    iam_credentials_access_groups: Vec<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "ID")]
    iam_credentials_service_id: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "ID")]
    iam_credentials_account_id: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long)]
    iam_credentials_reuse_apikey: bool,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "JSON|@FILE")]
    imported_cert_managed_csr: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "NAME")]
    private_cert_template_name: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "NAME")]
    certificate_common_name: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    certificate_alt_names: Vec<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "LIST")]
    private_cert_ip_sans: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "LIST")]
    private_cert_uri_sans: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_delimiter = ',', value_name = "SAN")]
    private_cert_other_sans: Vec<String>,
    /// Kept for scripts; the type is not built
    #[arg(long)]
    private_cert_exclude_cn_from_sans: bool,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "FORMAT")]
    private_cert_format: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "FORMAT")]
    private_cert_private_key_format: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "NAME")]
    public_cert_ca: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "NAME")]
    public_cert_dns: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "ALGORITHM")]
    public_cert_key_algorithm: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long)]
    public_cert_bundle_certs: Option<bool>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "JSON|@FILE")]
    secret_source_service: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "NAME")]
    custom_credentials_configuration: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "JSON|@FILE")]
    custom_credentials_parameters: Option<String>,
    #[command(flatten)]
    payload: Payload,
}

/// What a version holds.
#[derive(Debug, Default, Args)]
pub struct Payload {
    /// Text, or @file whose content is taken as it is (arbitrary)
    #[arg(long, value_name = "TEXT|@FILE", allow_hyphen_values = true)]
    arbitrary_payload: Option<String>,
    /// Password; left out, the server makes one (username_password)
    #[arg(long, value_name = "TEXT|@FILE", allow_hyphen_values = true)]
    username_password_password: Option<String>,
    /// Object (kv)
    #[arg(long, value_name = "JSON|@FILE")]
    kv_data: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "PEM|@FILE", allow_hyphen_values = true)]
    imported_cert_certificate: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "PEM|@FILE", allow_hyphen_values = true)]
    imported_cert_intermediate: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "PEM|@FILE", allow_hyphen_values = true)]
    imported_cert_private_key: Option<String>,
    /// Kept for scripts; the type is not built
    #[arg(long, value_name = "PEM|@FILE", allow_hyphen_values = true)]
    private_cert_csr: Option<String>,
}

impl Payload {
    fn put(&self, body: &mut Map<String, Value>) -> Result<()> {
        for (name, value) in [
            ("payload", &self.arbitrary_payload),
            ("password", &self.username_password_password),
            ("certificate", &self.imported_cert_certificate),
            ("intermediate", &self.imported_cert_intermediate),
            ("private_key", &self.imported_cert_private_key),
            ("csr", &self.private_cert_csr),
        ] {
            if let Some(value) = value {
                body.insert(name.into(), json!(raw(value)?));
            }
        }
        put_json(body, "data", "--kv-data", self.kv_data.as_ref())
    }
}

fn put_json(body: &mut Map<String, Value>, name: &str, option: &str, value: Option<&String>) -> Result<()> {
    if let Some(value) = value {
        body.insert(name.into(), json_value(option, value)?);
    }
    Ok(())
}

/// The whole as JSON, if it was given. What other options said beside it would be lost, so they are refused.
fn alone(option: &str, whole: Option<&String>, others: &Map<String, Value>) -> Result<Option<Value>> {
    match whole {
        Some(_) if !others.is_empty() => {
            let names: Vec<&str> = others.keys().map(String::as_str).collect();
            Err(usage(format!(
                "{option} is the whole; other options say something too: {}.",
                names.join(", ")
            )))
        }
        whole => whole.map(|whole| json_value(option, whole)).transpose(),
    }
}

impl New {
    /// The body of a create call.
    pub fn body(&self) -> Result<Value> {
        let body = self.parts()?;
        let whole = alone("--secret-prototype", self.secret_prototype.as_ref(), &body)?;
        if let Some(whole) = whole {
            return Ok(whole);
        }
        for (flag, name) in [("--secret-type", "secret_type"), ("--secret-name", "name")] {
            if !body.contains_key(name) {
                return Err(usage(format!("Missing required option {flag}.")));
            }
        }
        Ok(body.into())
    }

    /// What the options beside the prototype say.
    fn parts(&self) -> Result<Map<String, Value>> {
        let mut body = Map::new();
        let texts = [
            ("secret_type", &self.secret_type),
            ("name", &self.secret_name),
            ("description", &self.secret_description),
            ("secret_group_id", &self.secret_group_id),
            ("expiration_date", &self.secret_expiration_date),
            ("ttl", &self.secret_ttl),
            ("service_id", &self.iam_credentials_service_id),
            ("account_id", &self.iam_credentials_account_id),
            ("certificate_template", &self.private_cert_template_name),
            ("common_name", &self.certificate_common_name),
            ("ip_sans", &self.private_cert_ip_sans),
            ("uri_sans", &self.private_cert_uri_sans),
            ("format", &self.private_cert_format),
            ("private_key_format", &self.private_cert_private_key_format),
            ("ca", &self.public_cert_ca),
            ("dns", &self.public_cert_dns),
            ("key_algorithm", &self.public_cert_key_algorithm),
            ("configuration", &self.custom_credentials_configuration),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                body.insert(name.into(), json!(value));
            }
        }
        if let Some(user) = &self.username_password_username {
            body.insert("username".into(), json!(raw(user)?));
        }
        for (name, list) in [
            ("labels", &self.secret_labels),
            ("access_groups", &self.iam_credentials_access_groups),
            ("alt_names", &self.certificate_alt_names),
            ("other_sans", &self.private_cert_other_sans),
        ] {
            if !list.is_empty() {
                body.insert(name.into(), json!(list));
            }
        }
        for (name, option, value) in [
            ("custom_metadata", "--secret-custom-metadata", &self.secret_custom_metadata),
            (
                "version_custom_metadata",
                "--secret-version-custom-metadata",
                &self.secret_version_custom_metadata,
            ),
            ("rotation", "--secret-rotation", &self.secret_rotation),
            ("password_generation_policy", "--username-password-policy", &self.username_password_policy),
            ("managed_csr", "--imported-cert-managed-csr", &self.imported_cert_managed_csr),
            ("source_service", "--secret-source-service", &self.secret_source_service),
            ("parameters", "--custom-credentials-parameters", &self.custom_credentials_parameters),
        ] {
            put_json(&mut body, name, option, value.as_ref())?;
        }
        if self.iam_credentials_reuse_apikey || self.secret_type.as_deref() == Some("iam_credentials") {
            body.insert("reuse_api_key".into(), json!(self.iam_credentials_reuse_apikey));
        }
        if self.private_cert_exclude_cn_from_sans {
            body.insert("exclude_cn_from_sans".into(), json!(true));
        }
        if let Some(bundle) = self.public_cert_bundle_certs {
            body.insert("bundle_certs".into(), json!(bundle));
        }
        self.payload.put(&mut body)?;
        Ok(body)
    }
}

/// Parts of a new version.
#[derive(Debug, Default, Args)]
pub struct NewVersion {
    /// The whole version as JSON
    #[arg(long, value_name = "JSON|@FILE")]
    secret_version_prototype: Option<String>,
    /// An object of one's own, kept with the secret
    #[arg(long, alias = "custom-metadata", value_name = "JSON|@FILE")]
    secret_custom_metadata: Option<String>,
    /// An object of one's own, kept with the version
    #[arg(long, alias = "version-custom-metadata", value_name = "JSON|@FILE")]
    secret_version_custom_metadata: Option<String>,
    /// Version to bring back (iam_credentials)
    #[arg(long, value_name = "ID")]
    secret_version_restore_from_version: Option<String>,
    /// Make a new private key as well (public_cert)
    #[arg(long, value_name = "JSON|@FILE")]
    public_cert_rotation: Option<String>,
    #[command(flatten)]
    payload: Payload,
}

impl NewVersion {
    /// The body of a create call.
    pub fn body(&self) -> Result<Value> {
        let mut body = Map::new();
        for (name, option, value) in [
            ("custom_metadata", "--secret-custom-metadata", &self.secret_custom_metadata),
            (
                "version_custom_metadata",
                "--secret-version-custom-metadata",
                &self.secret_version_custom_metadata,
            ),
            ("rotation", "--public-cert-rotation", &self.public_cert_rotation),
        ] {
            put_json(&mut body, name, option, value.as_ref())?;
        }
        if let Some(version) = &self.secret_version_restore_from_version {
            body.insert("restore_from_version".into(), json!(version));
        }
        self.payload.put(&mut body)?;
        let whole = alone("--secret-version-prototype", self.secret_version_prototype.as_ref(), &body)?;
        Ok(whole.unwrap_or_else(|| body.into()))
    }
}

/// Changes of a secret's metadata.
#[derive(Debug, Default, Args)]
pub struct Change {
    /// The whole patch as JSON
    #[arg(long, value_name = "JSON|@FILE")]
    secret_metadata_patch: Option<String>,
    /// Name
    #[arg(long, alias = "secret-name")]
    name: Option<String>,
    /// Text about it
    #[arg(long, alias = "secret-description")]
    description: Option<String>,
    /// Labels, separated by commas
    #[arg(long, alias = "secret-labels", value_delimiter = ',', num_args = 0..)]
    labels: Option<Vec<String>>,
    /// An object of one's own, kept with the secret
    #[arg(long, alias = "secret-custom-metadata", value_name = "JSON|@FILE")]
    custom_metadata: Option<String>,
    /// RFC 3339; an empty text clears it
    #[arg(long, alias = "secret-expiration-date", value_name = "TIME")]
    expiration_date: Option<String>,
    /// How long what is generated lives (types that are not built)
    #[arg(long, alias = "secret-ttl", value_name = "DURATION")]
    ttl: Option<String>,
    /// When the server makes a new version by itself
    #[arg(long, alias = "secret-rotation", value_name = "JSON|@FILE")]
    rotation: Option<String>,
    /// How passwords are made (username_password)
    #[arg(long, alias = "username-password-policy", value_name = "JSON|@FILE")]
    password_generation_policy: Option<String>,
}

impl Change {
    /// The merge patch.
    pub fn body(&self) -> Result<Value> {
        let mut body = Map::new();
        for (name, value) in [("name", &self.name), ("description", &self.description), ("ttl", &self.ttl)] {
            if let Some(value) = value {
                body.insert(name.into(), json!(value));
            }
        }
        if let Some(labels) = &self.labels {
            let labels: Vec<&String> = labels.iter().filter(|l| !l.is_empty()).collect();
            body.insert("labels".into(), json!(labels));
        }
        if let Some(date) = &self.expiration_date {
            body.insert("expiration_date".into(), if date.is_empty() { Value::Null } else { json!(date) });
        }
        for (name, option, value) in [
            ("custom_metadata", "--custom-metadata", &self.custom_metadata),
            ("rotation", "--rotation", &self.rotation),
            ("password_generation_policy", "--password-generation-policy", &self.password_generation_policy),
        ] {
            put_json(&mut body, name, option, value.as_ref())?;
        }
        if let Some(whole) = alone("--secret-metadata-patch", self.secret_metadata_patch.as_ref(), &body)? {
            return Ok(whole);
        }
        if body.is_empty() { Err(usage("Nothing to change.")) } else { Ok(body.into()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn of(kind: &str) -> New {
        New { secret_type: Some(kind.into()), secret_name: Some("n".into()), ..New::default() }
    }

    #[test]
    fn payload_of_a_file_is_taken_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        std::fs::write(&path, "line\n").unwrap();
        let mut new = of("arbitrary");
        new.payload.arbitrary_payload = Some(format!("@{}", path.display()));
        new.secret_labels = vec!["a".into()];
        let body = new.body().unwrap();
        assert_eq!(
            body,
            json!({"secret_type": "arbitrary", "name": "n", "labels": ["a"], "payload": "line\n"})
        );
    }

    #[test]
    fn key_value_data_is_json() {
        let mut new = of("kv");
        new.payload.kv_data = Some(r#"{"a":{"b":1}}"#.into());
        assert_eq!(new.body().unwrap()["data"]["a"]["b"], 1);
        new.payload.kv_data = Some("nope".into());
        assert!(new.body().is_err());
    }

    #[test]
    fn name_and_type_are_needed_unless_there_is_a_prototype() {
        assert!(New::default().body().unwrap_err().text().contains("--secret-type"));
        let whole = New { secret_prototype: Some(r#"{"x":1}"#.into()), ..New::default() };
        assert_eq!(whole.body().unwrap(), json!({"x": 1}));
    }

    #[test]
    fn nothing_is_lost_beside_a_whole() {
        let whole = Some(r#"{"x":1}"#.to_owned());
        let mut new = New { secret_prototype: whole.clone(), ..New::default() };
        new.payload.username_password_password = Some("p".into());
        assert!(new.body().unwrap_err().text().contains("password"));
        let new =
            New { secret_prototype: whole.clone(), secret_group_id: Some("g".into()), ..New::default() };
        assert!(new.body().unwrap_err().text().contains("secret_group_id"));
        let new =
            New { secret_prototype: whole.clone(), iam_credentials_reuse_apikey: true, ..New::default() };
        assert!(new.body().is_err());
        let mut version = NewVersion { secret_version_prototype: whole.clone(), ..NewVersion::default() };
        assert_eq!(version.body().unwrap(), json!({"x": 1}));
        version.secret_custom_metadata = Some("{}".into());
        assert!(version.body().unwrap_err().text().contains("custom_metadata"));
        let change = Change { secret_metadata_patch: whole, ttl: Some("1h".into()), ..Change::default() };
        assert!(change.body().unwrap_err().text().contains("ttl"));
    }

    #[test]
    fn an_empty_date_clears_it() {
        let change =
            Change { expiration_date: Some(String::new()), labels: Some(vec![]), ..Change::default() };
        assert_eq!(change.body().unwrap(), json!({"expiration_date": null, "labels": []}));
        assert!(Change::default().body().is_err());
    }
}
