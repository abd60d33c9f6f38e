-- Policies as their clients wrote them. subject: the IAM id, the access group id, or ' service:<name>' of an authorization.
-- canonical: hash of what the policy grants to whom; two active policies never share it. instance and resource: the ids
-- that the policy is about, empty if it is wider.
create table policies (
    id text not null primary key,
    account_id text not null,
    kind text not null,
    schema_version bigint not null,
    document text not null,
    subject text not null,
    canonical text not null,
    instance text not null,
    resource text not null,
    tagged bigint not null,
    state text not null,
    etag text not null,
    created_at bigint not null,
    created_by text not null,
    modified_at bigint not null,
    modified_by text not null
);
create index policies_by_account on policies (account_id, state, created_at, id);
create index policies_by_subject on policies (account_id, subject, state);
create index policies_by_instance on policies (account_id, instance) where instance <> '';
create index policies_by_resource on policies (account_id, resource) where resource <> '';
create index policies_deleted on policies (modified_at) where state = 'deleted';
create unique index policies_by_meaning on policies (account_id, canonical) where state = 'active';
-- Custom roles. actions_key: hash of the sorted actions; a service has no two roles that allow the same.
create table custom_roles (
    id text not null primary key,
    account_id text not null,
    name text not null,
    display_name text not null,
    service text not null,
    actions text not null,
    actions_key text not null,
    description text,
    crn text not null,
    etag text not null,
    created_at bigint not null,
    created_by text not null,
    modified_at bigint not null,
    modified_by text not null
);
create unique index custom_roles_by_name on custom_roles (account_id, name);
create unique index custom_roles_by_display_name on custom_roles (account_id, display_name);
create unique index custom_roles_by_actions on custom_roles (account_id, service, actions_key);
-- Access groups; the public group has no row.
create table access_groups (
    id text not null primary key,
    account_id text not null,
    name text not null,
    name_key text not null,
    description text not null,
    etag text not null,
    created_at bigint not null,
    created_by text not null,
    modified_at bigint not null,
    modified_by text not null
);
create unique index access_groups_by_name on access_groups (account_id, name_key);
create table access_group_members (
    account_id text not null,
    group_id text not null,
    iam_id text not null,
    kind text not null,
    created_at bigint not null,
    created_by text not null,
    primary key (group_id, iam_id)
);
create index access_group_members_by_identity on access_group_members (account_id, iam_id, group_id);
-- Rules by which federated users join a group when they log in.
create table access_group_rules (
    id text not null primary key,
    account_id text not null,
    group_id text not null,
    name text not null,
    realm_name text not null,
    expiration bigint not null,
    conditions text not null,
    etag text not null,
    created_at bigint not null,
    created_by text not null,
    modified_at bigint not null,
    modified_by text not null
);
create index access_group_rules_by_group on access_group_rules (group_id, created_at, id);
-- Whether the public group counts; no row: it does.
create table access_group_settings (
    account_id text not null primary key,
    public_access_enabled bigint not null,
    etag text not null,
    modified_at bigint not null,
    modified_by text not null
);
-- How identities of other accounts may act here; no row: as policies say.
create table access_settings (
    account_id text not null primary key,
    body text not null,
    etag text not null,
    modified_at bigint not null,
    modified_by text not null
);
