//! A rule that is in force.

use std::fmt;
use std::sync::Arc;

use super::Shared;
use super::rule::Rule;

/// A rule in force. It ends with the guard, which releases what it withholds.
///
/// See [`Faults`](crate::testing::Faults).
#[must_use = "the rule ends with its guard"]
pub struct FaultGuard {
    shared: Arc<Shared>,
    rule: Arc<Rule>,
}

impl FaultGuard {
    pub(super) fn new(shared: Arc<Shared>, rule: Arc<Rule>) -> FaultGuard {
        FaultGuard { shared, rule }
    }

    /// To how many operations it has happened so far.
    ///
    /// See [`Faults`](crate::testing::Faults).
    pub fn hits(&self) -> u64 {
        *self.rule.hits().borrow()
    }

    /// How many operations are withheld now.
    ///
    /// See [`Faults`](crate::testing::Faults).
    pub fn held(&self) -> usize {
        self.rule.held()
    }

    /// Waits until it has happened to so many operations. What is withheld then is withheld already: to the rest
    /// of the crate, the kernel has it.
    ///
    /// # Cancel safety
    ///
    /// No effect.
    ///
    /// # Errors
    ///
    /// None.
    ///
    /// # Backend
    ///
    /// None: it works on any executor.
    ///
    /// # Examples
    ///
    /// See [`Faults`](crate::testing::Faults).
    pub async fn wait_hit(&self, count: u64) {
        let mut hits = self.rule.hits().subscribe();
        // Never closed, as the rule is here.
        let _ = hits.wait_for(|hits| *hits >= count).await;
    }

    /// Ends the rule, and lets go their real way what it withholds.
    ///
    /// See [`Faults`](crate::testing::Faults).
    pub fn release(&self) {
        self.shared.remove(&self.rule);
        self.rule.end().iter().for_each(|held| held.release());
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for FaultGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rule.fmt(f)
    }
}
