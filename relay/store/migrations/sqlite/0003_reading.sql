-- Reading requests, drafts, phone calls, signed reports, acknowledgements and notices.
-- Instants are milliseconds UTC, ids text, states text with a check, documents JSON text.

create table reading_requests (
  id text primary key,
  network_id text not null references networks (id),
  requesting_site_id text not null references sites (id),
  reading_site_id text not null references sites (id),
  -- Null until the study's first head is here.
  study_id text references studies (id),
  study_instance_uid text not null,
  -- Grows by one with every change; a writer names the version it saw.
  version bigint not null,
  case_code text not null,
  -- Set when the request closes: until then nobody else gets the code.
  case_code_until_ms bigint,
  case_code_freed_at_ms bigint,
  state text not null check (state in ('requested', 'readable', 'claimed', 'preliminary', 'final',
    'acknowledged', 'acted_on', 'reopened', 'returned', 'cancelled', 'closed')),
  urgency text not null check (urgency in ('stroke_code', 'critical', 'urgent', 'routine', 'elective')),
  origin text not null check (origin in ('person', 'node', 'rule')),
  requested_at_ms bigint not null,
  requested_by_id text,
  clinical_context text not null,
  context_completed_at_ms bigint,
  callback_number text,
  callback_person text,
  responsible_physician text,
  -- As promised when it was asked; the spoken answer is counted anew when images arrive.
  open_by_ms bigint,
  verbal_by_ms bigint,
  written_by_ms bigint,
  claim_reader_id text references users (id),
  claimed_at_ms bigint,
  claim_lease_until_ms bigint,
  first_claimed_at_ms bigint,
  -- Why it was returned or cancelled.
  reason text,
  -- Data of the state that no query asks for.
  state_detail text not null,
  criticality text check (criticality in ('crit_red', 'crit_orange', 'crit_yellow', 'none')),
  report_id text,
  report_status text check (report_status in ('preliminary', 'final', 'addended', 'corrected')),
  report_version bigint,
  signed_at_ms bigint,
  acknowledged_at_ms bigint,
  late_images_at_ms bigint,
  closed_at_ms bigint
);
create unique index reading_requests_held_codes on reading_requests (network_id, case_code)
  where case_code_freed_at_ms is null;
create unique index reading_requests_open_of_study
  on reading_requests (network_id, requesting_site_id, study_instance_uid) where closed_at_ms is null;
create index reading_requests_by_study on reading_requests (study_id);
create index reading_requests_by_requesting_site on reading_requests (requesting_site_id, closed_at_ms);
create index reading_requests_by_reading_site on reading_requests (reading_site_id, closed_at_ms);
create index reading_requests_by_time on reading_requests (network_id, requested_at_ms);

-- What happened to a request, in order; never changed.
create table reading_events (
  reading_request_id text not null references reading_requests (id),
  seq bigint not null,
  network_id text not null references networks (id),
  kind text not null,
  at_ms bigint not null,
  actor_id text,
  actor_name text,
  actor_role text,
  actor_site_id text,
  detail text not null,
  primary key (reading_request_id, seq)
);

create table drafts (
  reading_request_id text primary key references reading_requests (id),
  network_id text not null references networks (id),
  version bigint not null,
  body text not null,
  author_id text not null references users (id),
  saved_at_ms bigint not null
);

create table calls (
  id text primary key,
  network_id text not null references networks (id),
  reading_request_id text not null references reading_requests (id),
  version bigint not null,
  state text not null check (state in ('draft', 'attempted', 'connected', 'readback_ok', 'readback_mismatch',
    'escalated', 'alternative_delivered', 'closed', 'closed_with_exception')),
  direction text not null check (direction in ('reader_to_referrer', 'referrer_to_reader', 'third_party')),
  callee_role text not null,
  recorded_by_id text not null references users (id),
  recorded_by_name text not null,
  recorded_at_ms bigint not null,
  started_at_ms bigint not null,
  ended_at_ms bigint,
  -- The newest report version when the call began; null when nothing was signed yet.
  report_version_at_call bigint,
  conversation text,
  escalation text,
  alternative_delivery text,
  closed_at_ms bigint
);
create index calls_by_request on calls (reading_request_id, started_at_ms);

create table call_attempts (
  call_id text not null references calls (id),
  attempt_no bigint not null,
  network_id text not null references networks (id),
  number_dialed text not null,
  channel text not null,
  callee_role text not null,
  callee_name text,
  started_at_ms bigint not null,
  ended_at_ms bigint,
  outcome text check (outcome in ('connected', 'no_answer', 'busy', 'unreachable_number', 'wrong_party',
    'left_message', 'refused')),
  failure_reason text,
  next_action text,
  primary key (call_id, attempt_no)
);

create table call_addenda (
  call_id text not null references calls (id),
  seq bigint not null,
  network_id text not null references networks (id),
  text text not null,
  corrects_fields text not null,
  author_id text not null references users (id),
  author_name text not null,
  added_at_ms bigint not null,
  primary key (call_id, seq)
);

create table reports (
  id text primary key,
  network_id text not null references networks (id),
  reading_request_id text not null unique references reading_requests (id),
  latest_version bigint not null,
  status text not null check (status in ('preliminary', 'final', 'addended', 'corrected')),
  created_at_ms bigint not null
);

-- What was signed, as it was signed. Nothing here is ever changed or removed.
create table report_versions (
  id text primary key,
  network_id text not null references networks (id),
  report_id text not null references reports (id),
  version bigint not null,
  status text not null check (status in ('preliminary', 'final', 'addended', 'corrected')),
  signed_at_ms bigint not null,
  reader_id text not null references users (id),
  reader_name text not null,
  criticality text not null check (criticality in ('crit_red', 'crit_orange', 'crit_yellow', 'none')),
  body text not null,
  evaluation text not null,
  -- The full definitions of the templates, so that the text stays readable whatever they become.
  templates text not null,
  images_at_signing text not null,
  calls text not null,
  addendum_text text,
  corrects_fields text not null,
  -- SHA-256 over everything above, in the order of the columns.
  digest text not null,
  unique (report_id, version)
);

create table acknowledgements (
  report_id text not null references reports (id),
  version bigint not null,
  user_id text not null references users (id),
  network_id text not null references networks (id),
  user_name text not null,
  site_id text not null references sites (id),
  action_taken text not null check (action_taken in ('observe', 'transfer', 'treat', 'other')),
  remark text,
  acknowledged_at_ms bigint not null,
  primary key (report_id, version, user_id)
);

-- The watch over a signed version until somebody at the requesting site has acknowledged it.
create table critical_results (
  report_id text not null references reports (id),
  version bigint not null,
  network_id text not null references networks (id),
  reading_request_id text not null references reading_requests (id),
  criticality text not null check (criticality in ('crit_red', 'crit_orange', 'crit_yellow', 'none')),
  opened_at_ms bigint not null,
  acknowledge_by_ms bigint not null,
  closed_at_ms bigint,
  -- acknowledged, or superseded by a newer version.
  closed_as text check (closed_as in ('acknowledged', 'superseded')),
  closed_by_id text,
  primary key (report_id, version)
);
create index critical_results_open on critical_results (network_id, closed_at_ms, acknowledge_by_ms);

create table ladder_steps (
  report_id text not null,
  version bigint not null,
  step bigint not null,
  network_id text not null references networks (id),
  kind text not null,
  percent bigint not null,
  due_at_ms bigint not null,
  job_id text not null,
  done_at_ms bigint,
  outcome text check (outcome in ('taken', 'no_recipient', 'cancelled')),
  n_recipients bigint,
  primary key (report_id, version, step),
  foreign key (report_id, version) references critical_results (report_id, version)
);

-- One notice to one person; delivered, read and acknowledged are separate facts.
create table notifications (
  id text primary key,
  network_id text not null references networks (id),
  kind text not null,
  reading_request_id text not null references reading_requests (id),
  report_id text,
  version bigint,
  case_code text not null,
  criticality text,
  recipient_id text not null references users (id),
  created_at_ms bigint not null,
  delivered_at_ms bigint,
  read_at_ms bigint,
  read_by_id text references users (id),
  acknowledged_at_ms bigint,
  acknowledged_by_id text references users (id)
);
create index notifications_by_recipient on notifications (recipient_id, created_at_ms);
create index notifications_by_request on notifications (reading_request_id, created_at_ms);
create index notifications_by_report on notifications (report_id, version);

-- How a notice travels; the attempts are those of the outbox job, an in-app notice needs none.
create table notification_deliveries (
  notification_id text not null references notifications (id),
  channel text not null check (channel in ('email', 'in_app')),
  job_id text references outbox (id),
  created_at_ms bigint not null,
  primary key (notification_id, channel)
);

-- The database itself refuses to change what is final.
create trigger report_versions_no_update before update on report_versions
  begin select raise(abort, 'a signed version is immutable'); end;
create trigger report_versions_no_delete before delete on report_versions
  begin select raise(abort, 'a signed version is immutable'); end;
create trigger reading_events_no_update before update on reading_events
  begin select raise(abort, 'events are append-only'); end;
create trigger reading_events_no_delete before delete on reading_events
  begin select raise(abort, 'events are append-only'); end;
create trigger acknowledgements_no_update before update on acknowledgements
  begin select raise(abort, 'acknowledgements are append-only'); end;
create trigger acknowledgements_no_delete before delete on acknowledgements
  begin select raise(abort, 'acknowledgements are append-only'); end;
create trigger calls_no_update before update on calls when old.closed_at_ms is not null
  begin select raise(abort, 'a closed call takes addenda only'); end;
create trigger calls_no_delete before delete on calls
  begin select raise(abort, 'calls are append-only'); end;
create trigger call_attempts_no_update before update on call_attempts when old.ended_at_ms is not null
  begin select raise(abort, 'an ended attempt is final'); end;
create trigger call_attempts_no_delete before delete on call_attempts
  begin select raise(abort, 'attempts are append-only'); end;
create trigger call_addenda_no_update before update on call_addenda
  begin select raise(abort, 'addenda are append-only'); end;
create trigger call_addenda_no_delete before delete on call_addenda
  begin select raise(abort, 'addenda are append-only'); end;
