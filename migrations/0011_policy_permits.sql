-- How often a policy permitted something and when it last did: one row per policy and replica, added up on read.
create table policy_permits (
    account_id text not null,
    policy_id text not null,
    node text not null,
    total bigint not null,
    last_at bigint not null,
    primary key (account_id, policy_id, node)
);
