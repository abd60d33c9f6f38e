//! Counters in OpenMetrics form. Labels come from fixed sets: operations, statuses, reasons.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::room::Level;

type Labels = Vec<(&'static str, String)>;

/// Counters of the server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Histogram,
    tokens: Family<Labels, Counter>,
    refusals: Family<Labels, Counter>,
    panics: Counter,
    not_accepted: Counter,
    room: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Fresh counters.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("avouch");
        let requests = Family::<Labels, Counter>::default();
        let seconds = Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0]);
        let tokens = Family::<Labels, Counter>::default();
        let refusals = Family::<Labels, Counter>::default();
        registry.register("requests", "Requests by operation and status", requests.clone());
        registry.register("request_seconds", "Time to answer", seconds.clone());
        registry.register("tokens", "Access tokens issued by grant", tokens.clone());
        registry.register("refusals", "Refusals by reason", refusals.clone());
        let panics = Counter::default();
        registry.register("panics", "Panics of requests and background jobs", panics.clone());
        let not_accepted = Counter::default();
        registry.register(
            "connections_not_accepted",
            "Tries to accept a connection that the system refused, for want of descriptors or the like",
            not_accepted.clone(),
        );
        let room = Gauge::default();
        registry.register(
            "disk_level",
            "Room on the disk: 0 enough, 1 low, 2 the reserve is in use",
            room.clone(),
        );
        Self { room, panics, not_accepted, registry, requests, seconds, tokens, refusals }
    }

    /// A request was answered.
    pub fn request(&self, operation: &'static str, status: u16, seconds: f64) {
        self.requests
            .get_or_create(&vec![("operation", operation.to_owned()), ("status", status.to_string())])
            .inc();
        self.seconds.observe(seconds);
    }

    /// A token was issued.
    pub fn token(&self, grant: &'static str) {
        self.tokens.get_or_create(&vec![("grant", grant.to_owned())]).inc();
    }

    /// Something was refused for a reason of a fixed set.
    pub fn refusal(&self, reason: &'static str) {
        self.refusals.get_or_create(&vec![("reason", reason.to_owned())]).inc();
    }

    /// The room on the disk of the store.
    pub fn room(&self, level: Level) {
        self.room.set(level as i64);
    }

    /// Something panicked.
    pub fn panic(&self) {
        self.panics.inc();
    }

    /// The system gave no connection.
    pub fn not_accepted(&self) {
        self.not_accepted.inc();
    }

    /// The OpenMetrics text.
    pub fn render(&self) -> String {
        let mut out = String::new();
        match encode(&mut out, &self.registry) {
            Ok(()) => out,
            Err(_) => String::new(),
        }
    }
}
