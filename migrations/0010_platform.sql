-- Accounts, their users, resource groups, service instances and reclamations.
create table accounts (
    id text not null primary key,
    name text not null,
    owner_iam_id text not null,
    state text not null,
    created_at bigint not null
);
create table users (
    account_id text not null,
    iam_id text not null,
    email text not null,
    first_name text not null,
    last_name text not null,
    state text not null,
    created_at bigint not null,
    primary key (account_id, iam_id)
);
create unique index users_by_email on users (account_id, email);
create table resource_groups (
    account_id text not null,
    id text not null,
    name text not null,
    name_key text not null,
    state text not null,
    is_default bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    primary key (account_id, id)
);
create unique index resource_groups_by_name on resource_groups (account_id, name_key);
create table resource_instances (
    guid text not null primary key,
    account_id text not null,
    name text not null,
    service text not null,
    plan_id text not null,
    region text not null,
    resource_group_id text not null,
    state text not null,
    locked bigint not null,
    parameters text not null,
    body text not null,
    created_at bigint not null,
    updated_at bigint not null
);
create index resource_instances_by_account on resource_instances (account_id, created_at, guid);
create table reclamations (
    id text not null primary key,
    account_id text not null,
    guid text not null,
    resource_group_id text not null,
    state text not null,
    target_time bigint not null,
    created_at bigint not null,
    created_by text not null,
    updated_at bigint not null,
    updated_by text not null
);
create index reclamations_by_account on reclamations (account_id, state);
