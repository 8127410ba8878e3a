//! Figures of the agent in the text form that Prometheus reads. No labels carry anything a peer sent.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::dimse::DimseCounters;
use crate::dimse::admission::Admission;
use crate::dimse::refusals::RefusalCounters;
use crate::link::{LinkBoard, LinkState};
use crate::spool::{ObjectState, Spool};

/// Where the figures come from.
#[derive(Clone)]
pub struct Metrics {
    spool: Spool,
    board: LinkBoard,
    dimse: Option<DimseFigures>,
}

/// Figures of the port for modalities.
#[derive(Clone)]
pub struct DimseFigures {
    /// What was asked and answered.
    pub counters: DimseCounters,
    /// Open associations.
    pub admission: Admission,
    /// Associations that were not accepted.
    pub refusals: RefusalCounters,
}

impl Metrics {
    /// Figures of a spool, a line and, when there is one, a port for modalities.
    #[must_use]
    pub fn new(spool: Spool, board: LinkBoard, dimse: Option<DimseFigures>) -> Self {
        Self { spool, board, dimse }
    }

    /// All figures now.
    #[must_use]
    pub fn text(&self) -> String {
        let mut registry = Registry::with_prefix("tancho_agent");
        if let Some(DimseFigures {
            counters: dimse,
            admission,
            refusals,
        }) = &self.dimse
        {
            for (name, help, counter) in [
                ("associations_accepted", "Associations accepted", &dimse.accepted),
                (
                    "associations_aborted",
                    "Connections aborted by the agent",
                    &dimse.aborted,
                ),
                ("echoes", "C-ECHO requests answered", &dimse.echoes),
                (
                    "queries",
                    "C-FIND, C-MOVE and C-GET requests answered",
                    &dimse.queries,
                ),
                ("stores", "C-STORE requests answered with success", &dimse.stored),
                (
                    "stores_failed",
                    "C-STORE requests answered with failure",
                    &dimse.failed,
                ),
            ] {
                registry.register(name, help, counter.clone());
            }
            registry.register(
                "associations_rejected",
                "Associations rejected, by reason",
                refusals.clone(),
            );
            gauge(
                &mut registry,
                "associations_open",
                "Associations open now",
                admission.n_open() as u64,
            );
        }
        let counters = self.spool.counters();
        for (name, help, value) in [
            (
                "objects_stored",
                "Objects made durable in the spool",
                counters.n_stored,
            ),
            (
                "object_bytes",
                "Bytes of data sets made durable in the spool",
                counters.stored_bytes,
            ),
            (
                "objects_duplicate",
                "Objects that were already in the spool",
                counters.n_duplicates,
            ),
            (
                "objects_revision",
                "Objects whose SOP Instance UID came again with other bytes",
                counters.n_revisions,
            ),
            (
                "objects_quarantined",
                "Objects put in quarantine",
                counters.n_quarantined,
            ),
            (
                "objects_refused_full",
                "Objects refused for want of space",
                counters.n_refused_no_space,
            ),
            ("objects_damaged", "Spool files found damaged", counters.n_damaged),
            ("receipts", "Receipts of the relay recorded", counters.n_receipts),
            (
                "objects_deleted",
                "Objects deleted after receipt and retention",
                counters.n_deleted,
            ),
        ] {
            let counter: Counter = Counter::default();
            counter.inc_by(value);
            registry.register(name, help, counter);
        }
        let studies = self.spool.studies();
        for (name, help, state) in [
            (
                "objects_waiting_coder",
                "Objects whose container is not made yet",
                ObjectState::Stored,
            ),
            (
                "objects_waiting_line",
                "Objects waiting for the line or on it",
                ObjectState::Coded,
            ),
            (
                "objects_refused_relay",
                "Objects that the relay would not take",
                ObjectState::Refused,
            ),
            (
                "objects_held",
                "Objects held back until a person looks",
                ObjectState::Held,
            ),
        ] {
            let n = studies.iter().map(|study| study.tally(state).n_objects).sum();
            gauge(&mut registry, name, help, n);
        }
        if let Ok(room) = self.spool.room() {
            gauge(
                &mut registry,
                "disk_free_bytes",
                "Free bytes of the spool's file system",
                room.free_bytes,
            );
            gauge(
                &mut registry,
                "disk_reserve_bytes",
                "Bytes that intake leaves free",
                room.reserve_bytes,
            );
        }
        let link = self.board.status();
        let connected = matches!(link.link, LinkState::Connected { .. });
        gauge(
            &mut registry,
            "relay_connected",
            "1 while connected to the relay",
            u64::from(connected),
        );
        gauge(
            &mut registry,
            "line_bytes_per_second",
            "Rate of the line, mean of five seconds",
            link.bytes_per_second,
        );
        if let Some(rtt_ms) = link.rtt_ms {
            fraction(
                &mut registry,
                "line_rtt_seconds",
                "Round trip as last measured",
                rtt_ms / 1_000.0,
            );
        }
        if let Some(loss) = link.loss {
            fraction(
                &mut registry,
                "line_loss_ratio",
                "Share of the packets of the last minute that was lost; absent over TCP",
                loss,
            );
        }
        let sent: Counter = Counter::default();
        sent.inc_by(link.bytes_sent);
        registry.register("line_bytes", "Container bytes put on the line", sent);
        let mut text = String::new();
        if encode(&mut text, &registry).is_err() {
            tracing::error!("the metrics could not be written");
        }
        text
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge: Gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

fn fraction(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge: Gauge<f64, AtomicU64> = Gauge::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}
