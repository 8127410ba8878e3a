-- Attempts to log in are counted after they are written, and an attempt is taken back by its id.

alter table login_failures add column attempt_id text;
create index login_failures_by_attempt on login_failures (attempt_id);

-- Good logins by account and address: what happens elsewhere does not lock them out.
create table login_successes (
    limit_key text not null primary key,
    succeeded_at_ms integer not null
) strict;
