//! dicomweb-client with pydicom: what is stored over the web is found and comes back, in every form it asks for.

use std::path::Path;

use tancho_e2e::hospital::Network;
use tancho_e2e::phantom::Phantom;
use tancho_e2e::program::{peer_script, peers_python, run};

#[test]
fn a_dicomweb_client_stores_finds_and_retrieves() {
    let network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("web")
        .with_slices(4)
        .write(&folder.path().join("study"))
        .unwrap();
    let token = network.relay.token("technologist").unwrap();
    let mut arguments = vec![peer_script("web.py").into_os_string()];
    arguments.push(network.relay.url().into());
    arguments.push(token.into());
    arguments.extend(study.files.iter().map(|file| file.path.as_os_str().to_owned()));
    run(Path::new(&peers_python()), &arguments, None).unwrap_or_else(|error| panic!("{error:#}"));
}
