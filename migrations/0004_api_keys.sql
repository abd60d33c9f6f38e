-- API keys by the hash of their value. The value itself is kept, sealed, only where its owner asked for it.
create table api_keys (
    id text not null primary key,
    account_id text not null,
    iam_id text not null,
    name text not null,
    description text,
    digest text not null,
    stored bytea,
    locked bigint not null,
    disabled bigint not null,
    support_sessions bigint not null,
    action_when_leaked text not null,
    expires_at bigint,
    etag text not null,
    created_at bigint not null,
    created_by text not null,
    modified_at bigint not null
);
create unique index api_keys_by_digest on api_keys (digest);
create index api_keys_by_owner on api_keys (account_id, iam_id, created_at, id);
