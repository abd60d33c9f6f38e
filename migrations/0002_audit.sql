-- Audit events: rows of the same store, inserted with the change they tell of.
create table audit_events (
    id text not null primary key,
    account_id text not null,
    time bigint not null,
    service text not null,
    action text not null,
    outcome text not null,
    severity text not null,
    initiator_id text not null,
    authn_id text not null,
    target_id text not null,
    correlation_id text not null,
    body text not null
);
create index audit_events_by_time on audit_events (account_id, time, id);
create index audit_events_by_correlation on audit_events (account_id, correlation_id);
