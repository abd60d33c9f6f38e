//! Time as the rest of the program sees it.
//!
//! Nothing else asks the operating system for the time: a request draws its `now` once, so a closure that runs twice
//! gives the same answer, and tests move the clock instead of sleeping.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use avouch_wire::time::Timestamp;

/// Source of the wall clock.
pub trait Clock: Send + Sync {
    /// The current time, millisecond precision.
    fn now(&self) -> Timestamp;

    /// Milliseconds since some moment of this process. Whoever sets the wall clock does not move it.
    fn steady(&self) -> i64;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    begun: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { begun: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place where the clock of the machine is read
    fn now(&self) -> Timestamp {
        let millis = match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(d) => i64::try_from(d.as_millis()).unwrap_or(i64::MAX),
            Err(_) => 0,
        };
        Timestamp::from_millis(millis)
    }

    fn steady(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// A clock that moves only when told to; for tests.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    steady: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { wall: AtomicI64::new(start.millis()), steady: AtomicI64::new(0) }
    }

    /// Lets time pass. Time does not run backwards: by negative `seconds` the clock is set back.
    pub fn advance_secs(&self, seconds: i64) {
        self.jump_secs(seconds);
        self.steady.fetch_add(seconds.max(0).saturating_mul(1000), Ordering::SeqCst);
    }

    /// Sets the wall clock forward, or back by negative `seconds`, while no time passes.
    pub fn jump_secs(&self, seconds: i64) {
        self.wall.fetch_add(seconds.saturating_mul(1000), Ordering::SeqCst);
    }

    /// Sets the wall clock.
    pub fn set(&self, at: Timestamp) {
        self.wall.store(at.millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall.load(Ordering::SeqCst))
    }

    fn steady(&self) -> i64 {
        self.steady.load(Ordering::SeqCst)
    }
}
