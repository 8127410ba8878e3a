//! Counters for Prometheus. Labels are route patterns and codes, never ids: their number is bounded.

use std::sync::Mutex;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Labels of one kind of HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AnswerLabels {
    /// Method; anything unusual is `other`.
    pub method: &'static str,
    /// Route pattern, or `none` for addresses that match no route.
    pub route: String,
    /// Status.
    pub status: u16,
}

/// Labels of one kind of job result.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct JobLabels {
    /// Kind of work.
    pub kind: String,
    /// State the attempt left the job in.
    pub state: &'static str,
}

/// Every counter of the relay.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Answers given.
    pub http_answers: Family<AnswerLabels, Counter>,
    /// Time to the head of the answer.
    pub http_seconds: Histogram,
    /// Connections open.
    pub http_connections: Gauge,
    /// Requests whose handler panicked.
    pub http_panics: Counter,
    /// Passwords refused, at the login or for a signature.
    pub logins_refused: Counter,
    /// Job attempts.
    pub job_attempts: Family<JobLabels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Counters at zero.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("tancho_relay")),
            http_answers: Family::default(),
            http_seconds: Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0]),
            http_connections: Gauge::default(),
            http_panics: Counter::default(),
            logins_refused: Counter::default(),
            job_attempts: Family::default(),
        };
        metrics.register(|registry| {
            registry.register("http_answers", "Answers given", metrics.http_answers.clone());
            registry.register(
                "http_seconds",
                "Time to the head of the answer",
                metrics.http_seconds.clone(),
            );
            registry.register(
                "http_connections",
                "Connections open",
                metrics.http_connections.clone(),
            );
            registry.register(
                "http_panics",
                "Requests whose handler panicked",
                metrics.http_panics.clone(),
            );
            registry.register(
                "logins_refused",
                "Passwords refused, at the login or for a signature",
                metrics.logins_refused.clone(),
            );
            registry.register(
                "job_attempts",
                "Attempts at outbox jobs",
                metrics.job_attempts.clone(),
            );
        });
        metrics
    }

    /// Adds the counters of another subsystem.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self
            .registry
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// Notes one answer.
    pub fn note_answer(&self, labels: &AnswerLabels, took: Duration) {
        self.http_answers.get_or_create(labels).inc();
        self.http_seconds.observe(took.as_secs_f64());
    }

    /// Everything in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self
            .registry
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        encode(&mut text, &registry).expect("writing to a string does not fail");
        text
    }
}
