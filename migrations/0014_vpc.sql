-- Objects of the VPC service: one table for all kinds, what a kind knows of itself is JSON in the body.
create table vpc_objects (
    account_id text not null,
    kind text not null,
    id text not null,
    -- Where the name is unique: empty for the region, else the id of what holds the object.
    scope text not null,
    name text not null,
    parent text not null,
    resource_group text not null,
    revision bigint not null,
    created_at bigint not null,
    body text not null,
    primary key (account_id, kind, id)
);
create unique index vpc_objects_by_name on vpc_objects (account_id, kind, scope, name);
create index vpc_objects_by_group on vpc_objects (account_id, resource_group);
create index vpc_objects_by_parent on vpc_objects (account_id, kind, parent);
-- Which object uses which: whatever is used cannot be deleted.
create table vpc_uses (
    account_id text not null,
    user_kind text not null,
    user_id text not null,
    used_kind text not null,
    used_id text not null,
    primary key (account_id, user_kind, user_id, used_kind, used_id)
);
create index vpc_uses_by_used on vpc_uses (account_id, used_kind, used_id);
-- What only one object may have: fingerprints of keys, addresses of a subnet.
create table vpc_taken (
    account_id text not null,
    space text not null,
    value text not null,
    holder text not null,
    primary key (account_id, space, value)
);
create index vpc_taken_by_holder on vpc_taken (account_id, holder);
-- Floating addresses are the deployment's, whatever the account.
create table vpc_floating_addresses (
    address text not null,
    account_id text not null,
    holder text not null,
    primary key (address)
);
