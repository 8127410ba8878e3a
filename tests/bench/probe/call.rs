//! Small packets at a steady pace and their echo: a telephone call, or a ping that is slow enough to weigh nothing.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::unix_ns;

/// Of IP and UDP, which count as part of a packet.
const HEADER_BYTES: usize = 28;
/// Fields at the start of a packet, eight bytes each: the call, the packet's number, when it was sent, when it
/// reached the far end, and how many of the call had by then.
const FIELDS: usize = 5;
/// How long the last packets may take to come back; longer than any line's round trip with its queue.
const LAST_ECHO: Duration = Duration::from_secs(3);

/// What is known of a packet that came back.
struct Returned {
    number: u64,
    n_arrived: u64,
    up_ns: u64,
    round_trip_ns: u64,
}

/// Sends every packet back, until it is ended.
pub fn echo(listen: SocketAddr) -> anyhow::Result<()> {
    let socket = UdpSocket::bind(listen)?;
    let mut packet = [0; 2048];
    let (mut call, mut n_arrived) = (0, 0);
    loop {
        let (len, from) = socket.recv_from(&mut packet)?;
        if len < FIELDS * 8 {
            continue;
        }
        if field(&packet, 0) != call {
            call = field(&packet, 0);
            n_arrived = 0;
        }
        n_arrived += 1;
        set_field(&mut packet, 3, unix_ns());
        set_field(&mut packet, 4, n_arrived);
        // One that cannot be sent is lost, as on any line.
        let _ = socket.send_to(&packet[..len], from);
    }
}

/// Talks for `seconds` and prints losses, delays and jitter.
pub fn talk(to: SocketAddr, interval_ms: u64, bytes: usize, seconds: f64) -> anyhow::Result<()> {
    let socket = UdpSocket::bind(SocketAddr::from(([0, 0, 0, 0], 0)))?;
    socket.connect(to)?;
    let call = unix_ns();
    let mut packet = vec![0; bytes.saturating_sub(HEADER_BYTES).max(FIELDS * 8)];
    let mut returned = Vec::new();
    let (mut due, mut n_sent) = (Instant::now(), 0);
    let end = due + Duration::from_secs_f64(seconds);
    loop {
        let now = Instant::now();
        if now >= due && now < end {
            set_field(&mut packet, 0, call);
            set_field(&mut packet, 1, n_sent);
            set_field(&mut packet, 2, unix_ns());
            socket.send(&packet)?;
            n_sent += 1;
            due += Duration::from_millis(interval_ms);
            continue;
        }
        let until = if now < end { due } else { end + LAST_ECHO };
        if now >= until || returned.len() as u64 == n_sent && now >= end {
            break;
        }
        socket.set_read_timeout(Some((until - now).max(Duration::from_micros(50))))?;
        let mut echo = [0; 2048];
        match socket.recv(&mut echo) {
            Ok(_) if field(&echo, 0) == call => returned.push(Returned {
                number: field(&echo, 1),
                n_arrived: field(&echo, 4),
                up_ns: field(&echo, 3).saturating_sub(field(&echo, 2)),
                round_trip_ns: unix_ns().saturating_sub(field(&echo, 2)),
            }),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
    println!("{}", summary(&returned, n_sent));
    Ok(())
}

/// Jitter is the mean difference of neighbouring delays, what RFC 3550's estimate converges to; the way up alone.
fn summary(returned: &[Returned], n_sent: u64) -> serde_json::Value {
    let last = returned.iter().max_by_key(|packet| packet.number);
    let loss = last.map_or(1.0, |last| 1.0 - last.n_arrived as f64 / (last.number + 1) as f64);
    let up: Vec<u64> = returned.iter().map(|packet| packet.up_ns).collect();
    let steps = up.windows(2).map(|pair| pair[0].abs_diff(pair[1]));
    let jitter_ns = steps.sum::<u64>() as f64 / up.len().saturating_sub(1).max(1) as f64;
    json!({
        "sent": n_sent,
        "returned": returned.len(),
        "loss_up": loss,
        "up_ms": median_ms(up),
        "round_trip_ms": median_ms(returned.iter().map(|packet| packet.round_trip_ns).collect()),
        "jitter_ms": jitter_ns / 1e6,
    })
}

fn median_ms(mut values: Vec<u64>) -> Option<f64> {
    values.sort_unstable();
    Some(*values.get(values.len() / 2)? as f64 / 1e6)
}

fn field(packet: &[u8], idx: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&packet[idx * 8..idx * 8 + 8]);
    u64::from_be_bytes(bytes)
}

fn set_field(packet: &mut [u8], idx: usize, value: u64) {
    packet[idx * 8..idx * 8 + 8].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_counted_at_the_far_end_and_jitter_on_the_way_up() {
        // Of five packets the third was lost on the way up, the last on the way back.
        let packet = |number, n_arrived, up_ms: u64| Returned {
            number,
            n_arrived,
            up_ns: up_ms * 1_000_000,
            round_trip_ns: (up_ms + 20) * 1_000_000,
        };
        let returned = [packet(0, 1, 20), packet(1, 2, 24), packet(3, 3, 20)];
        let summary = summary(&returned, 5);
        assert_eq!(summary["loss_up"], 0.25);
        assert_eq!(summary["jitter_ms"], 4.0);
        assert_eq!(summary["round_trip_ms"], 40.0);
    }
}
