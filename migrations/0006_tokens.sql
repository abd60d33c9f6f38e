-- Keys that sign access tokens. The private half is sealed under the key ring. A key signs from active_at until the next
-- one does, and verifies for a while longer.
create table signing_keys (
    kid text not null primary key,
    alg text not null,
    jwk text not null,
    sealed bytea not null,
    created_at bigint not null,
    active_at bigint not null
);
-- Logins that may be refreshed. Kind: session (shown to the client) or refresh (service IDs: no session is shown).
create table sessions (
    id text not null primary key,
    account_id text not null,
    iam_id text not null,
    kind text not null,
    client_id text not null,
    api_key_id text not null,
    scope text not null,
    created_at bigint not null,
    last_used_at bigint not null,
    expires_at bigint not null,
    ended_at bigint
);
create index sessions_by_identity on sessions (account_id, iam_id, created_at);
-- Refresh tokens by the hash of their value; each works once, a second use ends its session.
create table refresh_tokens (
    hash text not null primary key,
    session_id text not null,
    issued_at bigint not null,
    expires_at bigint not null,
    used_at bigint
);
create index refresh_tokens_by_session on refresh_tokens (session_id);
-- Tokens of an identity that were issued before this time no longer count.
create table revocations (
    account_id text not null,
    iam_id text not null,
    issued_before bigint not null,
    created_at bigint not null,
    created_by text not null,
    primary key (account_id, iam_id)
);
-- How often and when an object (profile, service ID, API key, user) authenticated: one row per object and replica, so
-- that replicas never meet on a row; readers add them up.
create table authentications (
    account_id text not null,
    object_id text not null,
    node text not null,
    total bigint not null,
    last_at bigint not null,
    primary key (account_id, object_id, node)
);
