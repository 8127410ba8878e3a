//! The line is cut or its address changes in mid-study: the transfer goes on by itself, and what arrived before does
//! not travel again.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tancho_e2e::hospital::{Network, assert_all_stored};
use tancho_e2e::node::{Node, NodePlan};
use tancho_e2e::phantom::{Phantom, PhantomStudy};
use tancho_e2e::wait::until;

/// Largest UDP payload.
const DATAGRAM_BYTES: usize = 65_535;

/// A line between an agent and the relay that a test can cut and whose far address it can change.
struct Line {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    near: UdpSocket,
    relay: SocketAddr,
    /// For each address the agent sends from, the socket that the relay sees.
    far: Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>,
    is_cut: AtomicBool,
    bytes_up: AtomicU64,
    /// The line cuts itself when this many bytes have gone up.
    cut_at_bytes: AtomicU64,
}

impl Line {
    fn to(relay: SocketAddr) -> Self {
        let near = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = near.local_addr().unwrap();
        let shared = Arc::new(Shared {
            near,
            relay,
            far: Mutex::default(),
            is_cut: AtomicBool::new(false),
            bytes_up: AtomicU64::new(0),
            cut_at_bytes: AtomicU64::new(u64::MAX),
        });
        let upwards = Arc::clone(&shared);
        thread::spawn(move || upwards.carry_up());
        Self { address, shared }
    }

    fn cut_after(&self, bytes: u64) {
        self.shared
            .cut_at_bytes
            .store(self.bytes_up() + bytes, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.shared.is_cut.load(Ordering::SeqCst)
    }

    fn mend(&self) {
        self.shared.cut_at_bytes.store(u64::MAX, Ordering::SeqCst);
        self.shared.is_cut.store(false, Ordering::SeqCst);
    }

    /// The relay sees another address from here on, as after a restart of the site's router.
    fn change_address(&self) {
        self.shared.far.lock().unwrap().clear();
    }

    /// From here on the line carries TCP as well, on the same port, and goes on doing so while UDP is cut.
    fn carry_tcp(&self) {
        let listener = TcpListener::bind(self.address).unwrap();
        let relay = self.shared.relay;
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(relay) else {
                    continue;
                };
                carry(near.try_clone().unwrap(), far.try_clone().unwrap());
                carry(far, near);
            }
        });
    }

    fn bytes_up(&self) -> u64 {
        self.shared.bytes_up.load(Ordering::SeqCst)
    }
}

/// Carries one direction of a TCP connection until it ends.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}

impl Shared {
    fn carry_up(self: Arc<Self>) {
        let mut datagram = vec![0; DATAGRAM_BYTES];
        loop {
            let Ok((len, agent)) = self.near.recv_from(&mut datagram) else {
                continue;
            };
            let bytes_up = self.bytes_up.load(Ordering::SeqCst);
            if bytes_up >= self.cut_at_bytes.load(Ordering::SeqCst) {
                self.is_cut.store(true, Ordering::SeqCst);
            }
            if self.is_cut.load(Ordering::SeqCst) {
                continue;
            }
            self.bytes_up.fetch_add(len as u64, Ordering::SeqCst);
            // A datagram that cannot be sent is lost, as on any line.
            let _ = self.far_of(agent).send_to(&datagram[..len], self.relay);
        }
    }

    fn far_of(self: &Arc<Self>, agent: SocketAddr) -> Arc<UdpSocket> {
        let mut far = self.far.lock().unwrap();
        let socket = far.entry(agent).or_insert_with(|| {
            let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
            let (shared, listening) = (Arc::clone(self), Arc::clone(&socket));
            thread::spawn(move || shared.carry_down(&listening, agent));
            socket
        });
        Arc::clone(socket)
    }

    fn carry_down(&self, far: &UdpSocket, agent: SocketAddr) {
        let mut datagram = vec![0; DATAGRAM_BYTES];
        loop {
            let Ok((len, _)) = far.recv_from(&mut datagram) else {
                continue;
            };
            if !self.is_cut.load(Ordering::SeqCst) {
                let _ = self.near.send_to(&datagram[..len], agent);
            }
        }
    }
}

/// A network whose agent reaches the relay over a line that can be cut.
fn network_over_a_line() -> (Network, Line) {
    let mut network = Network::small();
    let line = Line::to(network.relay.plan.quic);
    let address = line.address.to_string();
    let node = network.node();
    node.stop().unwrap();
    node.plan.relay_address = Some(address);
    node.start().unwrap();
    wait_for_link(&mut network, "connected");
    (network, line)
}

fn wait_for_link(network: &mut Network, state: &str) {
    until(format!("the line to be {state}"), || {
        let status = network.node().status().ok()?;
        (status["link"]["state"] == json!(state)).then_some(())
    });
}

fn wait_for_transport(network: &mut Network, transport: &str) {
    until(format!("the line to be over {transport}"), || {
        let status = network.node().status().ok()?;
        (status["link"]["transport"] == json!(transport)).then_some(())
    });
}

fn send(network: &mut Network, seed: &str, n_slices: usize) -> (tempfile::TempDir, PhantomStudy) {
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke(seed)
        .with_slices(n_slices)
        .write(&folder.path().join("study"))
        .unwrap();
    let mut modality = network.node().modality();
    modality.called_ae_title = "TANCHO_STAT".to_owned();
    assert_all_stored(&modality.send(&[&study.folder]).unwrap(), n_slices);
    (folder, study)
}

fn container_bytes(network: &mut Network) -> u64 {
    let printed = network.node().status().unwrap();
    printed["bytes_sent"]
        .as_u64()
        .or(printed["link"]["bytes_sent"].as_u64())
        .unwrap()
}

#[test]
fn flt_037_an_outage_costs_its_own_length_and_no_byte_twice() {
    // How much a study of this size costs on an unbroken line.
    let (mut network, line) = network_over_a_line();
    let (_folder, study) = send(&mut network, "whole line", 16);
    network.wait_for_study(&study.study_instance_uid, 16);
    let unbroken = line.bytes_up();
    assert!(unbroken >= container_bytes(&mut network));

    let before = line.bytes_up();
    line.cut_after(unbroken / 2);
    let (_folder, study) = send(&mut network, "cut line", 16);
    until("the line to be cut in mid-study", || line.is_cut().then_some(()));
    wait_for_link(&mut network, "offline");
    line.mend();
    network.wait_for_study(&study.study_instance_uid, 16);
    network.assert_byte_exact(&study);
    let cost = line.bytes_up() - before;
    assert!(
        cost < unbroken + unbroken / 4,
        "{cost} bytes after a cut, {unbroken} without one"
    );
}

#[test]
fn flt_039_a_changed_address_does_not_break_the_line() {
    let (mut network, line) = network_over_a_line();
    line.cut_after(400_000);
    let (_folder, study) = send(&mut network, "changed address", 16);
    until("the line to be cut in mid-study", || line.is_cut().then_some(()));
    // Shorter than anyone would call an outage: the router comes back with another address.
    line.change_address();
    line.mend();
    network.wait_for_study(&study.study_instance_uid, 16);
    network.assert_byte_exact(&study);
}

#[test]
fn flt_042_a_relay_killed_and_restarted_goes_on_where_it_was() {
    let (mut network, line) = network_over_a_line();
    line.cut_after(400_000);
    let (_folder, study) = send(&mut network, "relay killed", 16);
    until("the line to be cut in mid-study", || line.is_cut().then_some(()));
    network.relay.kill();
    network.relay.start().unwrap();
    line.mend();
    network.wait_for_study(&study.study_instance_uid, 16);
    network.assert_byte_exact(&study);
}

#[test]
fn flt_040_where_udp_is_blocked_the_study_goes_over_tcp_and_later_over_quic_again() {
    let (mut network, line) = network_over_a_line();
    line.carry_tcp();
    line.cut_after(400_000);
    let (_folder, study) = send(&mut network, "UDP blocked", 16);
    until("UDP to be blocked in mid-study", || line.is_cut().then_some(()));
    wait_for_transport(&mut network, "tcp");
    network.wait_for_study(&study.study_instance_uid, 16);
    network.assert_byte_exact(&study);
    let (codes, link) = until("the agent to call UDP blocked and to know the round trip", || {
        let status = network.node().status().ok()?;
        let troubles = status["troubles"].as_array()?.clone();
        let codes: Vec<_> = troubles.iter().map(|trouble| trouble["code"].clone()).collect();
        let is_known = !codes.is_empty() && status["link"]["rtt_ms"].is_number();
        is_known.then(|| (codes, status["link"].clone()))
    });
    assert_eq!(codes, [json!("udp_blocked")]);
    assert_eq!(
        (&link["loss"], &link["state"]),
        (&json!(null), &json!("connected"))
    );

    line.mend();
    wait_for_transport(&mut network, "quic");
    let graph = points(&mut network);
    let sum = |key: &str| {
        graph
            .iter()
            .map(|point| point[key].as_u64().unwrap())
            .sum::<u64>()
    };
    assert!(sum("tcp_ms") > 0 && sum("up_ms") > sum("tcp_ms"), "{graph:?}");
    assert!(sum("bytes") > 400_000, "{graph:?}");
    let (_folder, study) = send(&mut network, "UDP open again", 4);
    network.wait_for_study(&study.study_instance_uid, 4);
    network.assert_byte_exact(&study);
}

/// What the technologist's page draws of the last hour of the line.
fn points(network: &mut Network) -> Vec<Value> {
    let url = format!("{}/api/line?span=1h", network.node().url());
    let view: Value = reqwest::blocking::get(url).unwrap().json().unwrap();
    view["points"].as_array().unwrap().clone()
}

#[test]
fn an_agent_is_enrolled_over_tcp_where_udp_is_blocked() {
    let network = Network::small();
    let line = Line::to(network.relay.plan.quic);
    line.carry_tcp();
    line.cut_after(0);
    let folder = tempfile::tempdir().unwrap();
    let plan = NodePlan::in_folder(folder.path(), "tcp-only");
    let address = line.address.to_string();
    let mut node = Node::enrol_at(plan, &network.relay, "DOTO", &address).unwrap();
    node.plan.relay_address = Some(address);
    node.start().unwrap();
    until("the new node to be connected over TCP", || {
        let status = node.status().ok()?;
        (status["link"]["transport"] == json!("tcp")).then_some(())
    });
}
