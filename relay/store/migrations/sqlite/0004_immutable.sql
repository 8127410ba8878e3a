-- The database refuses more ways of changing what is final: replacing a row by inserting it again, the audit trail,
-- digests of instances, a report's identity, closed watches. Tables of 0003 take values of their declared types only.

-- What 0003 declared is written the strict way; nothing of it changes on disk
-- (sqlite.org/lang_altertable.html, changes that do not affect the content).
pragma writable_schema = on;
update sqlite_schema set sql = replace(sql, ' bigint', ' integer') || ' strict' where type = 'table' and name in (
  'reading_requests', 'reading_events', 'drafts', 'calls', 'call_attempts', 'call_addenda', 'reports',
  'report_versions', 'acknowledgements', 'critical_results', 'ladder_steps', 'notifications', 'notification_deliveries');
pragma writable_schema = reset;

-- What is stored is not changed.
create trigger audit_no_update before update on audit
  begin select raise(abort, 'the audit trail is append-only'); end;
create trigger audit_heads_no_update before update on audit_heads when new.network_id <> old.network_id or
    new.seq < old.seq
  begin select raise(abort, 'the audit trail only grows'); end;
create trigger reports_no_update before update on reports when new.id <> old.id or new.network_id <>
    old.network_id or new.reading_request_id <> old.reading_request_id or new.latest_version <
    old.latest_version
  begin select raise(abort, 'a report stays with its reading request'); end;
create trigger critical_results_no_update before update on critical_results when old.closed_at_ms is not null
  begin select raise(abort, 'a closed watch is final'); end;
create trigger ladder_steps_no_update before update on ladder_steps when old.done_at_ms is not null
  begin select raise(abort, 'a step that was taken is final'); end;
create trigger instances_no_update before update on instances when new.id <> old.id or new.network_id <>
    old.network_id or new.site_id <> old.site_id or new.sop_instance_uid <> old.sop_instance_uid or
    new.container_sha256 <> old.container_sha256 or new.container_len <> old.container_len or
    new.original_sha256 <> old.original_sha256 or new.original_len <> old.original_len or (old.verified_at_ms is
    not null and new.verified_at_ms is not old.verified_at_ms)
  begin select raise(abort, 'a stored instance is immutable'); end;

-- What is stored is not removed.
create trigger audit_no_delete before delete on audit
  begin select raise(abort, 'the audit trail is append-only'); end;
create trigger audit_heads_no_delete before delete on audit_heads
  begin select raise(abort, 'the audit trail only grows'); end;
create trigger reports_no_delete before delete on reports
  begin select raise(abort, 'a report stays with its reading request'); end;
create trigger critical_results_no_delete before delete on critical_results
  begin select raise(abort, 'a closed watch is final'); end;
create trigger ladder_steps_no_delete before delete on ladder_steps
  begin select raise(abort, 'a step that was taken is final'); end;
create trigger instances_no_delete before delete on instances when old.verified_at_ms is not null
  begin select raise(abort, 'a stored instance is immutable'); end;

-- `insert or replace` removes the row that stands in its way, in some settings without asking the triggers above.
-- Where a repeated insert is allowed to do nothing, it does nothing.
create trigger report_versions_no_replace before insert on report_versions
  when exists (select 1 from report_versions where id = new.id or (report_id = new.report_id and version =
    new.version))
  begin select raise(abort, 'the row exists already'); end;
create trigger reading_events_no_replace before insert on reading_events
  when exists (select 1 from reading_events where reading_request_id = new.reading_request_id and seq = new.seq)
  begin select raise(abort, 'the row exists already'); end;
create trigger acknowledgements_no_replace before insert on acknowledgements
  when exists (select 1 from acknowledgements where report_id = new.report_id and version = new.version and
    user_id = new.user_id)
  begin select raise(ignore); end;
create trigger calls_no_replace before insert on calls
  when exists (select 1 from calls where id = new.id)
  begin select raise(abort, 'the row exists already'); end;
create trigger call_attempts_no_replace before insert on call_attempts
  when exists (select 1 from call_attempts where call_id = new.call_id and attempt_no = new.attempt_no)
  begin select raise(abort, 'the row exists already'); end;
create trigger call_addenda_no_replace before insert on call_addenda
  when exists (select 1 from call_addenda where call_id = new.call_id and seq = new.seq)
  begin select raise(abort, 'the row exists already'); end;
create trigger audit_no_replace before insert on audit
  when exists (select 1 from audit where network_id = new.network_id and seq = new.seq)
  begin select raise(abort, 'the row exists already'); end;
create trigger audit_heads_no_replace before insert on audit_heads
  when exists (select 1 from audit_heads where network_id = new.network_id)
  begin select raise(abort, 'the row exists already'); end;
create trigger reports_no_replace before insert on reports
  when exists (select 1 from reports where id = new.id or reading_request_id = new.reading_request_id)
  begin select raise(ignore); end;
create trigger critical_results_no_replace before insert on critical_results
  when exists (select 1 from critical_results where report_id = new.report_id and version = new.version)
  begin select raise(abort, 'the row exists already'); end;
create trigger ladder_steps_no_replace before insert on ladder_steps
  when exists (select 1 from ladder_steps where report_id = new.report_id and version = new.version and step =
    new.step)
  begin select raise(abort, 'the row exists already'); end;
create trigger instances_no_replace before insert on instances
  when exists (select 1 from instances where verified_at_ms is not null and (id = new.id or (network_id =
    new.network_id and site_id = new.site_id and sop_instance_uid = new.sop_instance_uid and revision =
    new.revision) or (network_id = new.network_id and site_id = new.site_id and container_sha256 =
    new.container_sha256)))
  begin select raise(abort, 'the row exists already'); end;
