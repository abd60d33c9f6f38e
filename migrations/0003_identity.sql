-- Trusted profiles and whom they trust; service IDs and their groups; what happened to them.
create table profiles (
    id text not null primary key,
    account_id text not null,
    name text not null,
    description text,
    email text,
    etag text not null,
    identities_etag text not null,
    created_at bigint not null,
    created_by text not null,
    modified_at bigint not null
);
create unique index profiles_by_name on profiles (account_id, name);
create table claim_rules (
    id text not null primary key,
    account_id text not null,
    profile_id text not null,
    name text,
    type text not null,
    realm_name text,
    cr_type text,
    expiration bigint not null,
    conditions text not null,
    etag text not null,
    created_at bigint not null,
    modified_at bigint not null
);
create index claim_rules_by_profile on claim_rules (profile_id, created_at, id);
create table profile_links (
    id text not null primary key,
    account_id text not null,
    profile_id text not null,
    label text,
    cr_type text not null,
    crn text not null,
    is_cross_account bigint not null,
    namespace text,
    name text,
    component_type text,
    component_name text,
    meaning text not null,
    etag text not null,
    created_at bigint not null,
    modified_at bigint not null
);
create unique index profile_links_by_meaning on profile_links (profile_id, meaning);
create index profile_links_by_crn on profile_links (account_id, crn);
create table profile_identities (
    account_id text not null,
    profile_id text not null,
    kind text not null,
    identifier text not null,
    iam_id text not null,
    accounts text not null,
    description text,
    created_at bigint not null,
    primary key (profile_id, kind, identifier)
);
create index profile_identities_by_iam_id on profile_identities (iam_id);
create table service_ids (
    id text not null primary key,
    account_id text not null,
    group_id text,
    name text not null,
    description text,
    unique_instance_crns text not null,
    locked bigint not null,
    etag text not null,
    created_at bigint not null,
    created_by text not null,
    modified_at bigint not null
);
create index service_ids_by_account on service_ids (account_id, name);
create table service_id_groups (
    id text not null primary key,
    account_id text not null,
    name text not null,
    description text,
    etag text not null,
    created_at bigint not null,
    created_by text not null,
    modified_at bigint not null
);
create unique index service_id_groups_by_name on service_id_groups (account_id, name);
create table identity_history (
    account_id text not null,
    object_id text not null,
    n bigint not null,
    at bigint not null,
    iam_id text not null,
    iam_id_account text not null,
    action text not null,
    message text not null,
    primary key (account_id, object_id, n)
);
create table account_settings (
    account_id text not null primary key,
    body text not null,
    etag text not null,
    modified_at bigint not null
);
