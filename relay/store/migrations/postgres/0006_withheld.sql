-- Instances that came to the site and stay there, as `reason:number` separated by commas; empty when everything comes.
alter table study_manifests add column withheld text not null default '';
alter table studies add column withheld text not null default '';
