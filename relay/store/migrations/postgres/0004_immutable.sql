-- The database refuses more ways of changing what is final: emptying a table, the audit trail, digests of instances,
-- a report's identity, closed watches.

-- What is stored is not changed.
create trigger audit_no_update before update on audit for each row
  execute function refuse_change();
create trigger audit_heads_no_update before update on audit_heads for each row
  when (new.network_id <> old.network_id or new.seq < old.seq)
  execute function refuse_change();
create trigger reports_no_update before update on reports for each row
  when (new.id <> old.id or new.network_id <> old.network_id or new.reading_request_id <> old.reading_request_id
    or new.latest_version < old.latest_version)
  execute function refuse_change();
create trigger critical_results_no_update before update on critical_results for each row
  when (old.closed_at_ms is not null)
  execute function refuse_change();
create trigger ladder_steps_no_update before update on ladder_steps for each row
  when (old.done_at_ms is not null)
  execute function refuse_change();
create trigger instances_no_update before update on instances for each row
  when (new.id <> old.id or new.network_id <> old.network_id or new.site_id <> old.site_id or
    new.sop_instance_uid <> old.sop_instance_uid or new.container_sha256 <> old.container_sha256 or
    new.container_len <> old.container_len or new.original_sha256 <> old.original_sha256 or new.original_len <>
    old.original_len or (old.verified_at_ms is not null and new.verified_at_ms is distinct from
    old.verified_at_ms))
  execute function refuse_change();

-- What is stored is not removed.
create trigger audit_no_delete before delete on audit for each row
  execute function refuse_change();
create trigger audit_heads_no_delete before delete on audit_heads for each row
  execute function refuse_change();
create trigger reports_no_delete before delete on reports for each row
  execute function refuse_change();
create trigger critical_results_no_delete before delete on critical_results for each row
  execute function refuse_change();
create trigger ladder_steps_no_delete before delete on ladder_steps for each row
  execute function refuse_change();
create trigger instances_no_delete before delete on instances for each row
  when (old.verified_at_ms is not null)
  execute function refuse_change();

-- Emptying a table asks no row.
create trigger report_versions_no_truncate before truncate on report_versions
  for each statement execute function refuse_change();
create trigger reading_events_no_truncate before truncate on reading_events
  for each statement execute function refuse_change();
create trigger acknowledgements_no_truncate before truncate on acknowledgements
  for each statement execute function refuse_change();
create trigger calls_no_truncate before truncate on calls
  for each statement execute function refuse_change();
create trigger call_attempts_no_truncate before truncate on call_attempts
  for each statement execute function refuse_change();
create trigger call_addenda_no_truncate before truncate on call_addenda
  for each statement execute function refuse_change();
create trigger audit_no_truncate before truncate on audit
  for each statement execute function refuse_change();
create trigger audit_heads_no_truncate before truncate on audit_heads
  for each statement execute function refuse_change();
create trigger reports_no_truncate before truncate on reports
  for each statement execute function refuse_change();
create trigger critical_results_no_truncate before truncate on critical_results
  for each statement execute function refuse_change();
create trigger ladder_steps_no_truncate before truncate on ladder_steps
  for each statement execute function refuse_change();
create trigger instances_no_truncate before truncate on instances
  for each statement execute function refuse_change();
