-- A search that names a series without its study finds it without walking the network's studies.
create index series_by_uid on series (network_id, series_instance_uid);
