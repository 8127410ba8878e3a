//! Other people's programs against ours: what hospitals have must work with the settings it comes with.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod dcmtk;
mod decoding;
mod dicomweb;
mod onward;
mod orthanc;
mod pynetdicom;

use std::path::Path;

use tancho_e2e::hospital::Network;
use tancho_e2e::phantom::PhantomStudy;
use tancho_e2e::program::{peer_script, peers_python, run};
use tancho_e2e::wait::until;

/// Exports every instance as a Part 10 file and compares its elements with what was sent, read by pydicom.
///
/// # Panics
/// When an element differs or is missing.
fn assert_same_elements(network: &Network, study: &PhantomStudy) {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = vec![peer_script("same_elements.py").into_os_string()];
    for file in &study.files {
        let uid = &file.sop_instance_uid;
        let bytes = until(format!("the export of {uid}"), || {
            network.relay.export(uid, "dicom").ok()
        });
        let exported = folder.path().join(uid);
        std::fs::write(&exported, bytes).unwrap();
        arguments.extend([file.path.as_os_str().to_owned(), exported.into_os_string()]);
    }
    run(Path::new(&peers_python()), &arguments, None).unwrap_or_else(|error| panic!("{error:#}"));
}
