-- Whether the user's IAM id was drawn when he was added: only then may who added him make his first API key. An id that
-- was given may be somebody's of another account.
alter table users add column made_here bigint not null default 0;
