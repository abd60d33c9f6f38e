//! The events that no endpoint declares: of background jobs, of the server itself, and of requests beside what their
//! endpoint names. What is not in this table cannot be written by them; the catalogue in the documentation lists it.

/// A declared event. There are no others than those of [`ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unasked {
    by: &'static str,
    action: &'static str,
    when: &'static str,
}

impl Unasked {
    /// Who does it, behind `avouch-` in the initiator's id.
    pub const fn by(&self) -> &'static str {
        self.by
    }

    /// `service.object.verb`, with `<service>` for the service of the target.
    pub const fn action(&self) -> &'static str {
        self.action
    }

    /// When it is written.
    pub const fn when(&self) -> &'static str {
        self.when
    }
}

macro_rules! declared {
    ($($name:ident: $by:literal, $action:literal, $when:literal;)*) => {
        $(#[doc = $when] pub const $name: Unasked = Unasked { by: $by, action: $action, when: $when };)*
        /// All of them.
        pub const ALL: &[Unasked] = &[$($name),*];
    };
}

declared! {
    FIRST_ACCOUNT: "bootstrap", "avouch.account.create", "an account was made by the first start";
    RECOVERED: "recovery", "iam-identity.user-apikey.create", "whoever has the files of the server made a new API key for an account's owner";
    START: "start", "avouch.server.start", "a server started";
    DISK: "disk", "avouch.disk.update", "the room on the disk of the store changed its level";
    PANIC: "request", "avouch.request.panic", "a request met a defect";
    DENIED: "request", "iam-am.access.deny", "a request was refused at an endpoint without events, or its token proves nobody";
    SESSION_ENDED: "sessions", "iam-identity.session.revoke", "a refresh token came twice, which ends its session";
    SIGNING_KEY: "rotation", "iam-identity.signing-key.rotate", "a new signing key was made";
    SIGNING_KEY_GONE: "rotation", "iam-identity.signing-key.delete", "a signing key went, whose tokens all expired";
    USER_KEY_PURGED: "api-key-purge", "iam-identity.user-apikey.delete", "an expired API key of a user was removed";
    SERVICE_KEY_PURGED: "api-key-purge", "iam-identity.serviceid-apikey.delete", "an expired API key of a service ID was removed";
    CLUSTER_KEYS: "keys", "iam-identity.cluster.refresh", "the keys of a cluster changed, or could not be fetched";
    ISSUER_KEYS: "keys", "iam-identity.issuer.refresh", "the keys of an issuer changed, or could not be fetched";
    RECLAIMED: "reclamation", "<service>.instance.delete", "the time in which an instance could be restored is over";
    INSTANCE_ENDED: "instances", "is.instance.instance.stop", "an instance ended by itself, or could not be started";
    INSTANCE_UNLINKED: "instances", "iam-identity.profile-link.delete", "a link went with the virtual server that it led to";
    SECRET_EXPIRED: "secrets", "secrets-manager.secret.expire", "the time of a secret is over";
    SECRET_ROTATED: "secrets", "secrets-manager.secret-version.create", "a secret was rotated when it was due, or could not be";
}
