-- Whether anybody anywhere gave an identity something: asked before somebody else makes its first API key.
create index policies_by_holder on policies (subject) where state = 'active';
create index access_group_members_by_holder on access_group_members (iam_id);
