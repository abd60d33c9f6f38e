//! How serious an event is: by failure status first, then by a table of actions.

/// Severity of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Reads, creations, logins.
    Normal,
    /// Updates and most failures.
    Warning,
    /// Deletions, changes of credentials and rights, refusals.
    Critical,
}

impl Severity {
    /// The published word.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Normal => "normal",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// Creations that are a change of a credential or of rights, hence critical.
const CRITICAL: &[&str] = &[
    "iam-identity.user-apikey.create",
    "iam-identity.user-apikey.update",
    "iam-identity.serviceid-apikey.create",
    "iam-identity.serviceid-apikey.update",
    "iam-identity.profile-link.create",
    "iam-identity.profile-rule.create",
    "iam-identity.profile-rule.update",
    "iam-identity.profile-identity.add",
    "iam-identity.profile-identity.remove",
    "iam-identity.signing-key.rotate",
    "iam-identity.cluster.register",
    "iam-identity.cluster.update",
    "iam-identity.cluster-key.revoke",
    "iam-identity.issuer.register",
    "iam-identity.issuer.update",
    "iam-identity.session.revoke",
    "iam-am.policy.create",
    "iam-am.policy.update",
    "iam-am.role.create",
    "iam-am.role.update",
    "iam-groups.member.add",
    "avouch.disk.update",
];

/// The severity of `action` with this outcome. `locked`: the object was locked.
pub fn of(action: &str, status: u16, locked: bool) -> Severity {
    match status {
        401 | 403 | 503 | 507 => return Severity::Critical,
        400.. if locked => return Severity::Critical,
        400.. => return Severity::Warning,
        _ => {}
    }
    if locked || CRITICAL.contains(&action) {
        return Severity::Critical;
    }
    match action.rsplit('.').next().unwrap_or_default() {
        "delete" | "remove" | "revoke" | "deny" => Severity::Critical,
        "update" | "state-change" | "restore" | "schedule_reclaim" | "refresh" => Severity::Warning,
        _ if action == "secrets-manager.secret-version.create" => Severity::Warning,
        _ => Severity::Normal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_go_before_actions_and_locked_objects_are_critical() {
        assert_eq!(of("secrets-manager.secret.read", 403, false), Severity::Critical);
        assert_eq!(of("iam-identity.account-profile.delete", 404, false), Severity::Warning);
        assert_eq!(of("iam-identity.account-profile.delete", 204, false), Severity::Critical);
        assert_eq!(of("iam-identity.account-serviceid.update", 409, true), Severity::Critical);
        assert_eq!(of("iam-identity.account-serviceid.update", 200, false), Severity::Warning);
        assert_eq!(of("iam-identity.computeresource-token.login", 200, false), Severity::Normal);
        assert_eq!(of("iam-am.policy.create", 201, false), Severity::Critical);
    }
}
