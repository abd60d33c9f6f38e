//! For what exists only once: an interrupt waits until it is known what the server made, so that it can be kept or undone.

use std::path::Path;

use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Result, failed};
use crate::output::say;
use crate::state::Reserved;

/// Interrupts from here on are told by [`Unbroken::broken`] and end nothing by themselves.
pub struct Unbroken {
    signals: Vec<Signal>,
    broken: bool,
}

impl Unbroken {
    /// From now on.
    pub fn begin() -> Result<Unbroken> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let signals = kinds.into_iter().map(signal).collect::<std::io::Result<_>>();
        let signals = signals.map_err(|e| failed(format!("Interrupts cannot be held back: {e}.")))?;
        Ok(Unbroken { signals, broken: false })
    }

    /// Waits for the work, whatever comes meanwhile.
    pub async fn run<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            let [interrupt, terminate, hangup] = self.signals.as_mut_slice() else { return work.await };
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            if !std::mem::replace(&mut self.broken, true) {
                say("Interrupted: waiting for the server's answer, so that nothing is left behind.\n");
            }
        }
    }

    /// True when somebody wanted to end it.
    pub fn broken(&self) -> bool {
        self.broken
    }
}

/// The place of a file for a key, taken before the key is made, so that no key is made that cannot be kept.
pub fn reserve(file: &str, force: bool) -> Result<Reserved> {
    Reserved::take(Path::new(file), force).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            failed(format!("--file: {file} exists already. Use -f to replace it. No key was made."))
        }
        _ => failed(format!("--file: {file} cannot be written: {e}. No key was made.")),
    })
}

/// Fills the place.
pub fn fill(place: Reserved, file: &str, content: &Value) -> Result<()> {
    let text =
        serde_json::to_vec_pretty(content).map_err(|_| failed("The key file cannot be written as JSON."))?;
    place.fill(&text).map_err(|e| failed(format!("{file} cannot be written: {e}.")))
}
