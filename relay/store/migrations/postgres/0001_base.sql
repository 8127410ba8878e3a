-- Who and where, what was done, and what is still to be done. Instants are milliseconds UTC.

create table networks (
    id text not null primary key,
    name text not null unique,
    created_at_ms bigint not null
);

create table sites (
    id text not null primary key,
    network_id text not null references networks (id),
    code text not null,
    name text not null,
    kind text not null check (kind in ('requesting', 'reading', 'both')),
    phone text,
    created_at_ms bigint not null,
    unique (network_id, code),
    unique (network_id, id)
);

create table users (
    id text not null primary key,
    network_id text not null,
    site_id text not null,
    login text not null,
    name text not null,
    role text not null check (role in ('technologist', 'referrer', 'reader', 'liaison', 'admin', 'auditor')),
    email text,
    phone text,
    password_hash text,
    created_at_ms bigint not null,
    disabled_at_ms bigint,
    unique (network_id, login),
    unique (network_id, id),
    foreign key (network_id, site_id) references sites (network_id, id)
);

-- A session or token is known by the SHA-256 of its secret alone; the secret itself is nowhere.
create table sessions (
    id text not null primary key,
    network_id text not null,
    user_id text not null,
    token_hash bytea not null unique,
    created_at_ms bigint not null,
    last_used_at_ms bigint not null,
    expires_at_ms bigint not null,
    ended_at_ms bigint,
    foreign key (network_id, user_id) references users (network_id, id)
);
create index sessions_of_user on sessions (user_id);

create table api_tokens (
    id text not null primary key,
    network_id text not null,
    user_id text not null,
    token_hash bytea not null unique,
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    revoked_at_ms bigint,
    foreign key (network_id, user_id) references users (network_id, id)
);

-- Failed logins; the key is a digest, because people type passwords into the wrong field.
create table login_failures (
    limit_key text not null,
    failed_at_ms bigint not null
);
create index login_failures_by_key on login_failures (limit_key, failed_at_ms);

-- One chain per network: every row carries the digest of the one before it.
create table audit (
    network_id text not null references networks (id),
    seq bigint not null,
    at_ms bigint not null,
    actor_kind text not null check (actor_kind in ('user', 'node', 'relay', 'operator')),
    actor_id text,
    actor_role text,
    actor_site_id text,
    action text not null,
    subject_kind text not null,
    subject_id text,
    outcome text not null check (outcome in ('done', 'refused')),
    detail text not null,
    request_id text,
    prev_hash bytea not null,
    hash bytea not null,
    primary key (network_id, seq)
);
create index audit_by_subject on audit (network_id, subject_id);

create table audit_heads (
    network_id text not null primary key references networks (id),
    seq bigint not null,
    hash bytea not null
);

-- Work that a committed change has caused. A job is taken with a lease and a fencing number.
create table outbox (
    id text not null primary key,
    network_id text not null references networks (id),
    kind text not null,
    payload text not null,
    state text not null check (state in ('queued', 'running', 'done', 'failed')),
    run_at_ms bigint not null,
    attempts bigint not null,
    attempts_max bigint not null,
    fencing bigint not null,
    lease_until_ms bigint,
    last_error text,
    created_at_ms bigint not null,
    finished_at_ms bigint
);
create index outbox_due on outbox (state, run_at_ms);
create index outbox_of_network on outbox (network_id, created_at_ms);

create table outbox_attempts (
    job_id text not null references outbox (id),
    fencing bigint not null,
    started_at_ms bigint not null,
    ended_at_ms bigint,
    outcome text not null check (outcome in ('running', 'done', 'retry', 'failed', 'lost')),
    detail text,
    primary key (job_id, fencing)
);

-- Commands that were carried out, so that a repeat gets the first answer.
create table commands (
    network_id text not null references networks (id),
    id text not null,
    actor_id text not null,
    name text not null,
    request_hash bytea not null,
    status bigint,
    answer text,
    created_at_ms bigint not null,
    primary key (network_id, id)
);
create index commands_by_age on commands (created_at_ms);
