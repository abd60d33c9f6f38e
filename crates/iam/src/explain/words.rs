//! What the short reasons of recorded decisions mean, as sentences for people. Events keep the short form.

/// The sentence for a reason; the reason itself if this version does not know it.
pub fn of_reason(code: &str) -> &str {
    SENTENCES.iter().find(|(known, _)| *known == code).map_or(code, |(_, text)| text)
}

const SENTENCES: &[(&str, &str)] = &[
    // Trust.
    ("profile_not_found", "there is no trusted profile of this name or id in the account that was looked in"),
    ("profile_differs", "the request names two different trusted profiles"),
    ("not_eligible", "no link, claim rule or identity of the trusted profile admits the caller"),
    ("second_factor_missing", "the account of the trusted profile wants a second factor"),
    // Evidence.
    ("audience", "the token is for another audience"),
    ("expired", "the token has expired"),
    ("not_yet_valid", "the token is not valid yet: the clocks differ"),
    ("lifetime", "the token lives longer than the registration allows"),
    ("time_claim", "a time in the token is missing or is no time"),
    ("subject", "the subject of the token does not fit its other claims"),
    ("bound_object", "the token is not bound to what the registration demands"),
    ("source_address", "the token was presented from an address that it is not meant for"),
    ("keys_unavailable", "the keys of the issuer could not be read in time"),
    ("review_busy", "the cluster is being asked about too many tokens at a time"),
    ("review_unavailable", "the cluster could not be asked about the token"),
    ("review_refused", "the cluster says that the token is not valid"),
    // Logins.
    ("apikey_disabled", "the API key is disabled"),
    ("apikey_expired", "the API key has expired"),
    ("owner_gone", "the owner of the credential is deleted or not active"),
    ("identity_not_active", "the identity is deleted or not active"),
    ("address_not_allowed", "the account's settings do not allow the address that the request came from"),
    ("tenant_not_allowed", "the identity may not log in to this account"),
    ("revoked", "the tokens of the identity are revoked"),
    ("refresh_other_client", "the refresh token was given to another client"),
    ("refresh_expired", "the refresh token has expired"),
    ("session_inactive", "the session was not used for too long, or has ended"),
    ("scope_wider", "the request wants a wider scope than the login was given"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_become_sentences_and_unknown_ones_stay() {
        assert!(of_reason("profile_not_found").contains("no trusted profile"));
        assert_eq!(of_reason("from_a_later_version"), "from_a_later_version");
        assert!(SENTENCES.iter().all(|(code, text)| text.contains(' ') && !code.contains(' ')));
    }
}
