//! The checks as a tree, for those who may see them. Exchanges of tokens record nothing.

use avouch_gate::Error;
use avouch_policy::reason::Reason;

/// Records checks while it is on.
#[derive(Debug)]
pub struct Trace {
    steps: Option<Vec<Reason>>,
}

impl Trace {
    /// Records nothing.
    pub fn off() -> Self {
        Self { steps: None }
    }

    /// Records every check.
    pub fn on() -> Self {
        Self { steps: Some(Vec::new()) }
    }

    /// Whether checks are recorded.
    pub fn is_on(&self) -> bool {
        self.steps.is_some()
    }

    /// A check that held.
    pub fn pass(&mut self, name: &str, reason: impl FnOnce() -> Reason) {
        self.push(name, reason);
    }

    /// A check that did not hold.
    pub fn fail(&mut self, name: &str, reason: impl FnOnce() -> Reason) {
        self.push(name, reason);
    }

    fn push(&mut self, name: &str, reason: impl FnOnce() -> Reason) {
        if let Some(steps) = &mut self.steps {
            steps.push(reason().with_name(Some(name)));
        }
    }

    /// A refusal that no check recorded.
    pub fn refused(&mut self, error: &Error) {
        if let Some(steps) = &mut self.steps
            && steps.iter().all(|s| s.result)
        {
            let text = error.details_text().unwrap_or(error.message()).to_owned();
            steps.push(Reason::check("evidence", false).detail(text));
        }
    }

    /// All checks under one node.
    pub fn tree(self, result: bool) -> Reason {
        Reason::group("evidence", result).with_children(self.steps.unwrap_or_default())
    }
}
