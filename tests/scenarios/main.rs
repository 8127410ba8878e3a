//! Promises of the whole product, one file each, kept by the real programs on this machine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod critical_finding_is_acknowledged;
mod duplicates_change_nothing;
mod hostile_objects_stop_only_themselves;
mod late_images_are_counted;
mod names_are_right_everywhere;
mod nothing_acknowledged_is_lost;
mod one_reader_claims;
mod send_waits_for_the_relay;
mod stack_is_seen_before_it_is_whole;
mod study_reaches_reader;
mod uplink_resumes;
mod what_stays_at_the_hospital_is_told;
