-- What studies and sites are found by, in one written form; filled in by the program, null until then. A later change
-- of that form sets all keys to null.

alter table studies add column search_key text;
alter table sites add column search_key text;

-- Tags of the texts that the declared character sets do not explain, separated by commas.
alter table studies add column uncertain_elements text not null default '';
alter table series add column uncertain_elements text not null default '';
