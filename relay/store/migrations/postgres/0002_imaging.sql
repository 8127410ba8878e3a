-- Nodes with their certificates and invitations; studies, series and instances as they arrived.
-- Digests are 64 lower-case hexadecimal characters, instants milliseconds UTC, states text with a check.

create table nodes (
    id text not null primary key,
    network_id text not null references networks (id),
    site_id text not null references sites (id),
    state text not null check (state in ('pending', 'active', 'denied')),
    enrolled_at_ms bigint not null,
    denied_at_ms bigint,
    last_seen_at_ms bigint,
    last_address text,
    agent_version text,
    boot_id text,
    clock_offset_ms bigint
);
create index nodes_by_site on nodes (network_id, site_id);

create table node_invitations (
    id text not null primary key,
    network_id text not null references networks (id),
    site_id text not null references sites (id),
    secret_sha256 text not null unique,
    created_at_ms bigint not null,
    expires_at_ms bigint not null,
    used_at_ms bigint,
    node_id text references nodes (id)
);

create table node_certificates (
    serial text not null primary key,
    node_id text not null references nodes (id),
    public_key_sha256 text not null,
    not_before_ms bigint not null,
    not_after_ms bigint not null,
    issued_at_ms bigint not null,
    revoked_at_ms bigint
);
create index node_certificates_by_node on node_certificates (node_id, issued_at_ms);

-- What a site says a study consists of; may come before the first instance, so it stands alone.
create table study_manifests (
    network_id text not null references networks (id),
    site_id text not null references sites (id),
    study_instance_uid text not null,
    priority text not null check (priority in ('stat', 'urgent', 'routine')),
    n_instances bigint not null,
    bytes_original bigint not null,
    generation bigint not null,
    closed_at_ms bigint,
    updated_at_ms bigint not null,
    primary key (network_id, site_id, study_instance_uid)
);

-- One Study Instance UID sent by two sites makes two unrelated studies.
create table studies (
    id text not null primary key,
    network_id text not null references networks (id),
    site_id text not null references sites (id),
    study_instance_uid text not null,
    patient_id text not null,
    issuer_of_patient_id text,
    patient_name_alphabetic text not null,
    patient_name_ideographic text not null,
    patient_name_phonetic text not null,
    patient_name_uncertain bigint not null check (patient_name_uncertain in (0, 1)),
    patient_birth_date text,
    patient_sex text,
    study_date text,
    study_time text,
    accession_number text,
    study_description text,
    institution text,
    priority text not null check (priority in ('stat', 'urgent', 'routine')),
    -- Arrival: counts are of displayed instances (revision 1, not held), kept in the transactions that change them.
    n_received bigint not null,
    n_verified bigint not null,
    bytes_received bigint not null,
    announced_instances bigint,
    announced_bytes bigint,
    announced_generation bigint not null,
    closed_at_ms bigint,
    first_arrival_at_ms bigint not null,
    last_arrival_at_ms bigint not null,
    -- Set when another version of an instance, or an instance of another patient, came under this study.
    conflict_at_ms bigint,
    held_at_ms bigint,
    unique (network_id, site_id, study_instance_uid)
);
create index studies_by_uid on studies (network_id, study_instance_uid);
create index studies_by_arrival on studies (network_id, last_arrival_at_ms);

create table series (
    id text not null primary key,
    study_id text not null references studies (id),
    network_id text not null references networks (id),
    series_instance_uid text not null,
    modality text not null,
    series_number bigint,
    series_description text,
    body_part text,
    station_name text,
    manufacturer text,
    created_at_ms bigint not null,
    unique (study_id, series_instance_uid)
);

-- revision 1 is the one displayed; later revisions of one SOP Instance UID are kept beside it.
-- state: arriving (head is here), verified (whole, durable, rebuilt to the original digest), held (came under the
-- study of another patient; whole once verified_at_ms is set, but shown only as a warning).
-- relation to revision 1: first, reencoding (same elements), conflict (other content).
create table instances (
    id text not null primary key,
    network_id text not null references networks (id),
    site_id text not null references sites (id),
    study_id text not null references studies (id),
    series_id text not null references series (id),
    node_id text not null references nodes (id),
    sop_instance_uid text not null,
    sop_class_uid text not null,
    transfer_syntax_uid text not null,
    revision bigint not null,
    relation text not null check (relation in ('first', 'reencoding', 'conflict')),
    state text not null check (state in ('arriving', 'verified', 'held')),
    container_sha256 text not null,
    container_len bigint not null,
    original_sha256 text not null,
    original_len bigint not null,
    calling_ae text not null,
    called_ae text not null,
    instance_number bigint,
    number_of_frames bigint not null,
    frame_rows bigint,
    frame_columns bigint,
    -- Codes of scan warnings, separated by commas.
    warnings text not null,
    sent_received_at_ms bigint not null,
    first_arrival_at_ms bigint not null,
    verified_at_ms bigint,
    unique (network_id, site_id, sop_instance_uid, revision),
    unique (network_id, site_id, container_sha256)
);
create index instances_by_series on instances (series_id, instance_number);
create index instances_by_study on instances (study_id, state);
create index instances_by_sop on instances (network_id, sop_instance_uid);
create index instances_by_container on instances (network_id, container_sha256);
create index instances_arriving on instances (state, first_arrival_at_ms) where state = 'arriving';
