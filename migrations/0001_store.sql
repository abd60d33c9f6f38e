-- Revision of each account, raised by every change of trust or policy; and what changed at each revision.
create table account_revisions (
    account_id text not null primary key,
    rev bigint not null
);
create table account_changes (
    account_id text not null,
    rev bigint not null,
    kind text not null,
    object_id text not null,
    primary key (account_id, rev)
);
-- Leases of background jobs; the epoch fences a holder that lost his.
create table leases (
    name text not null primary key,
    holder text not null,
    epoch bigint not null,
    expires_at bigint not null
);
-- Small settings of the system itself.
create table system_values (
    name text not null primary key,
    value bytea not null
);
