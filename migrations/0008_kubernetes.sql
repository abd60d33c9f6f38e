-- Registered issuers of compute resource tokens: Kubernetes clusters and OpenID Connect issuers. The settings are JSON
-- text that SQL never looks into; what is looked up has columns of its own.
create table registrations (
    id text not null primary key,
    account_id text not null,
    kind text not null,
    name text not null,
    cr_type text not null,
    region text not null,
    resource_group_id text not null,
    state text not null,
    settings text not null,
    remote bigint not null,
    etag text not null,
    version bigint not null,
    last_refresh bigint,
    last_error text,
    next_refresh bigint,
    created_at bigint not null,
    modified_at bigint not null
);
create unique index registrations_by_name on registrations (account_id, kind, name);
create index registrations_by_refresh on registrations (remote, next_refresh);
-- Which registrations answer for an issuer. Default issuers are shared by many clusters; keys tell them apart.
create table registration_issuers (
    issuer text not null,
    registration_id text not null,
    primary key (issuer, registration_id)
);
-- Public keys of registrations. A key belongs to one registration of an issuer only, by its id and by itself.
create table registration_keys (
    registration_id text not null,
    issuer text not null,
    thumbprint text not null,
    kid text not null,
    alg text not null,
    jwk text not null,
    state text not null,
    first_seen bigint not null,
    last_seen bigint not null,
    missed bigint not null,
    retires_at bigint,
    primary key (registration_id, issuer, thumbprint, kid)
);
create index registration_keys_by_kid on registration_keys (issuer, kid);
create index registration_keys_by_thumbprint on registration_keys (issuer, thumbprint);
