//! What the kernel says about this process: time on a core and memory. It reads `/proc` only, so it runs on Linux only.

use std::time::Duration;

use anyhow::{Context, Result};

/// Threads of this name make load; their time is not the server's.
pub const LOAD_THREAD: &str = "load";

/// Time that the threads of this process have spent on a core, without those that make load. Threads that ended are
/// not counted, so whatever is measured must keep its threads.
pub fn cpu() -> Result<Duration> {
    let mut nanos = 0;
    for entry in std::fs::read_dir("/proc/self/task").context("/proc is needed")? {
        let folder = entry?.path();
        // A thread may end between the listing and the reading.
        let Ok(name) = std::fs::read_to_string(folder.join("comm")) else { continue };
        if name.trim() == LOAD_THREAD {
            continue;
        }
        let Ok(stat) = std::fs::read_to_string(folder.join("schedstat")) else { continue };
        nanos += first_number(&stat)?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Time that the calling thread has spent on a core.
pub fn thread_cpu() -> Result<Duration> {
    let stat =
        std::fs::read_to_string("/proc/thread-self/schedstat").context("the kernel keeps no schedstat")?;
    Ok(Duration::from_nanos(first_number(&stat)?))
}

/// Resident memory of a process in bytes; `self` or a process id.
pub fn resident(process: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(first_number(line)? * 1024)
}

fn first_number(text: &str) -> Result<u64> {
    text.split_whitespace().next().and_then(|n| n.parse().ok()).context("/proc is not as expected")
}

/// What a load came to.
pub struct Outcome {
    pub operations: u64,
    pub elapsed: Duration,
    pub cpu: Duration,
    /// Sorted.
    times: Vec<Duration>,
}

impl Outcome {
    pub fn new(elapsed: Duration, cpu: Duration, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { operations: times.len() as u64, elapsed, cpu, times }
    }

    /// Operations in a second of time.
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }

    /// Operations in a second of one core.
    pub fn per_core(&self) -> f64 {
        self.operations as f64 / self.cpu.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Microseconds of a core for one operation.
    pub fn micros(&self) -> f64 {
        1e6 / self.per_core()
    }

    /// The time that this share of the operations did not exceed.
    pub fn percentile(&self, per_cent: usize) -> Duration {
        let at = (self.times.len() * per_cent / 100).min(self.times.len().saturating_sub(1));
        self.times.get(at).copied().unwrap_or_default()
    }
}
