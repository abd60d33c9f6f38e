-- Links of all profiles to one resource: what is removed takes them with it.
create index profile_links_by_resource on profile_links (crn);
-- Virtual servers of all accounts, for who runs them.
create index vpc_instances on vpc_objects (kind) where kind = 'instance';
