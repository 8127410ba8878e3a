-- What stays at the sites, for the administrator: few of all studies.
create index manifests_withholding on study_manifests (network_id, updated_at_ms) where withheld <> '';
