-- Secrets Manager. Payloads are sealed; nothing else here is secret.
create table sm_groups (
    instance text not null,
    id text not null,
    name text not null,
    description text,
    created_at bigint not null,
    created_by text not null,
    updated_at bigint not null,
    primary key (instance, id)
);
create unique index sm_groups_by_name on sm_groups (instance, name);
create table sm_secrets (
    instance text not null,
    id text not null,
    secret_type text not null,
    name text not null,
    group_id text not null,
    state bigint not null,
    body text not null,
    versions_total bigint not null,
    expires_at bigint,
    next_rotation_at bigint,
    created_at bigint not null,
    created_by text not null,
    updated_at bigint not null,
    primary key (instance, id)
);
create unique index sm_secrets_by_name on sm_secrets (instance, secret_type, name);
create index sm_secrets_by_group on sm_secrets (instance, group_id);
create index sm_secrets_by_expiry on sm_secrets (expires_at) where expires_at is not null;
create index sm_secrets_by_rotation on sm_secrets (next_rotation_at) where next_rotation_at is not null;
create table sm_versions (
    instance text not null,
    secret_id text not null,
    id text not null,
    n bigint not null,
    alias text not null,
    sealed bytea,
    body text not null,
    auto_rotated bigint not null,
    expires_at bigint,
    created_at bigint not null,
    created_by text not null,
    primary key (instance, secret_id, id)
);
create index sm_versions_by_order on sm_versions (instance, secret_id, n);
-- When a version was last read: one row per version and replica, written with the event of the read.
create table sm_reads (
    instance text not null,
    secret_id text not null,
    version_id text not null,
    node text not null,
    last_at bigint not null,
    primary key (instance, secret_id, version_id, node)
);
create table sm_locks (
    instance text not null,
    secret_id text not null,
    version_id text not null,
    name text not null,
    description text,
    attributes text not null,
    created_at bigint not null,
    created_by text not null,
    updated_at bigint not null,
    primary key (instance, secret_id, version_id, name)
);
