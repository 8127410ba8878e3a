-- What people store over DICOMweb comes from a place of its own at each site; it never connects.
alter table nodes add column kind text not null default 'agent' check (kind in ('agent', 'upload'));
create unique index nodes_upload_by_site on nodes (network_id, site_id) where kind = 'upload';
