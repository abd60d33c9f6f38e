-- Whether the user's IAM id was drawn when he was added: only then may who added him make his first API key. An id that
-- was given may be somebody's of another account.
alter table users add column made_here bigint not null default 0;
create index users_by_iam_id on users (iam_id);
-- Those who are in one account only were added there.
update users set made_here = 1
where not exists (select 1 from users o where o.iam_id = users.iam_id and o.account_id <> users.account_id);
