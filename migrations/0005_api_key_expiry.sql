-- Finds expired keys without looking at the others.
create index api_keys_by_expiry on api_keys (expires_at);
