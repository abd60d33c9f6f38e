//! How an evaluation reports what it does. The decision passes [`Silent`], the explanation passes [`Trace`]; both run the
//! same code, so an explanation cannot say anything but what was decided.

use crate::reason::Reason;

/// Receives each check in the order in which it is made.
pub(crate) trait Visitor {
    /// One comparison and its result; `node` is only built by those who want it.
    fn check(&mut self, result: bool, node: impl FnOnce() -> Reason);
    /// A group of checks begins.
    fn open(&mut self) {}
    /// The innermost open group ends.
    fn close(&mut self, _result: bool, _node: impl FnOnce() -> Reason) {}
}

/// Wants nothing.
pub(crate) struct Silent;

impl Visitor for Silent {
    #[inline]
    fn check(&mut self, _result: bool, _node: impl FnOnce() -> Reason) {}
}

/// Builds the tree.
#[derive(Default)]
pub(crate) struct Trace {
    open: Vec<Vec<Reason>>,
    done: Vec<Reason>,
    passed: usize,
}

impl Trace {
    /// The nodes of the checks made, and how many held.
    pub(crate) fn finish(self) -> (Vec<Reason>, usize) {
        (self.done, self.passed)
    }

    fn push(&mut self, node: Reason) {
        match self.open.last_mut() {
            Some(group) => group.push(node),
            None => self.done.push(node),
        }
    }
}

impl Visitor for Trace {
    fn check(&mut self, result: bool, node: impl FnOnce() -> Reason) {
        self.passed += usize::from(result);
        let node = Reason { result, ..node() };
        self.push(node);
    }

    fn open(&mut self) {
        self.open.push(Vec::new());
    }

    fn close(&mut self, result: bool, node: impl FnOnce() -> Reason) {
        let children = self.open.pop().unwrap_or_default();
        let node = Reason { result, children, ..node() };
        self.push(node);
    }
}
