//! The threads of an engine and the queue they take their work from.
//!
//! A queue of our own, because nothing that was accepted may be forgotten when the threads end: whoever waits for an
//! answer would wait for ever.

use std::collections::VecDeque;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::{Error, Result};

/// What may wait in one queue before callers are turned away.
const MOST: usize = 16 * 1024;

/// A bounded queue. Once closed it takes nothing more, and gives out what it has.
pub(crate) struct Queue<W> {
    state: Mutex<State<W>>,
    ready: Condvar,
}

struct State<W> {
    waiting: VecDeque<W>,
    closed: bool,
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { state: Mutex::new(State { waiting: VecDeque::new(), closed: false }), ready: Condvar::new() }
    }
}

impl<W> Queue<W> {
    /// Hands over work, or says why not.
    pub(crate) fn push(&self, work: W) -> Result<()> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::closed());
        }
        if state.waiting.len() >= MOST {
            return Err(Error::Unavailable("too many requests wait for the store".into()));
        }
        state.waiting.push_back(work);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for work; `None` when the queue is closed and empty.
    pub(crate) fn pop(&self) -> Option<W> {
        let mut state = self.state.lock();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                return Some(work);
            }
            if state.closed {
                return None;
            }
            self.ready.wait(&mut state);
        }
    }

    /// Waits for work and takes all that is there, up to `most`; false when the queue is closed and empty.
    pub(crate) fn pop_many(&self, batch: &mut Vec<W>, most: usize) -> bool {
        let Some(first) = self.pop() else { return false };
        batch.push(first);
        let mut state = self.state.lock();
        let more = state.waiting.len().min(most.saturating_sub(1));
        batch.extend(state.waiting.drain(..more));
        true
    }

    #[cfg(feature = "testing")]
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.ready.notify_all();
    }
}

/// Threads that end when their queue is closed and empty.
#[derive(Default)]
pub(crate) struct Threads(Vec<(JoinHandle<()>, watch::Receiver<()>)>);

impl Threads {
    pub(crate) fn start(&mut self, name: String, body: impl FnOnce() + Send + 'static) -> Result<()> {
        // Held by the thread as long as it runs, so its end can be awaited without blocking.
        let (running, ended) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || {
                body();
                drop(running);
            })
            .map_err(|e| Error::Unavailable(format!("cannot start a thread: {e}")))?;
        self.0.push((thread, ended));
        Ok(())
    }

    /// Returns when all of them ended.
    pub(crate) async fn ended(&self) {
        for (_, ended) in &self.0 {
            let mut ended = ended.clone();
            while ended.changed().await.is_ok() {}
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let me = std::thread::current().id();
        for (thread, _) in self.0.drain(..) {
            // The last clone of a store may go with a closure, on one of these threads.
            if thread.thread().id() != me {
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{Queue, Threads};
    use crate::Error;

    #[test]
    fn a_closed_queue_gives_out_what_it_took_and_takes_nothing_more() {
        let queue = Queue::default();
        (0..5).for_each(|n| queue.push(n).unwrap());
        queue.close();
        assert!(matches!(queue.push(5), Err(Error::Unavailable(_))));
        let mut batch = Vec::new();
        assert!(queue.pop_many(&mut batch, 3));
        assert_eq!(batch, [0, 1, 2]);
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(3), Some(4), None));
        assert!(!queue.pop_many(&mut batch, 3));
    }

    #[test]
    fn a_full_queue_turns_away() {
        let queue = Queue::default();
        while queue.push(()).is_ok() {}
        assert_eq!(queue.state.lock().waiting.len(), super::MOST);
        queue.pop().unwrap();
        queue.push(()).unwrap();
    }

    #[tokio::test]
    async fn whatever_was_accepted_is_done_before_the_threads_end() {
        for _ in 0..50 {
            let (queue, done) = (Arc::new(Queue::default()), Arc::new(AtomicUsize::new(0)));
            let mut threads = Threads::default();
            for n in 0..3 {
                let (queue, done) = (queue.clone(), done.clone());
                let body = move || {
                    while let Some(()) = queue.pop() {
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                };
                threads.start(format!("test-{n}"), body).unwrap();
            }
            let pushing = {
                let queue = queue.clone();
                std::thread::spawn(move || (0..10_000).filter(|_| queue.push(()).is_ok()).count())
            };
            std::thread::yield_now();
            queue.close();
            threads.ended().await;
            assert_eq!(done.load(Ordering::SeqCst), pushing.join().unwrap());
        }
    }
}
