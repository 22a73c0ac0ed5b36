//! One rule: which operations it is about, and what happens to them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::held::Held;
use crate::base::lock::lock;
use crate::opcode::Kind;

/// How long an operation is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    Passed(Duration),
    Released,
}

/// What happens to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Dataless,
    Fail(i32),
    Hold(Until),
    Pass,
    Shorten(usize),
}

/// Which paths a rule is about.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Anywhere,
    At(Vec<PathBuf>),
    Under(Vec<PathBuf>),
}

impl Place {
    fn has(&self, path: &Path) -> bool {
        match self {
            Place::Anywhere => true,
            Place::At(places) => places.iter().any(|place| path == place),
            Place::Under(places) => places.iter().any(|place| path.starts_with(place)),
        }
    }
}

/// What is still to be chosen, and what was.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// None for all.
    pub(super) kinds: Option<Vec<Kind>>,
    pub(super) place: Place,
    /// How many operations pass before the first that it happens to.
    pub(super) after: u64,
    /// To how many it happens.
    pub(super) times: u64,
    pub(super) honours_cancel: bool,
}

pub(super) struct Rule {
    terms: Terms,
    pub(super) action: Action,
    /// How many operations it was about, those included that passed before the first.
    met: AtomicU64,
    hits: watch::Sender<u64>,
    /// What it holds, and some that it no longer does; none once it is off.
    held: Mutex<Option<Vec<Arc<Held>>>>,
}

impl Rule {
    pub(super) fn new(terms: Terms, action: Action) -> Arc<Rule> {
        Arc::new(Rule {
            terms,
            action,
            met: AtomicU64::new(0),
            hits: watch::Sender::new(0),
            held: Mutex::new(Some(Vec::new())),
        })
    }

    /// Whether an operation is one of those that it is about. Its paths are asked for only if they matter.
    /// What nobody waits for, as a close in the background, has to be named by its kind.
    pub(super) fn concerns<'a>(
        &self,
        kind: Kind,
        is_left: bool,
        paths: impl FnOnce() -> &'a [PathBuf],
    ) -> bool {
        let kinds = self.terms.kinds.as_ref();
        kinds.map_or(!is_left, |kinds| kinds.contains(&kind))
            && (matches!(self.terms.place, Place::Anywhere)
                || paths().iter().any(|path| self.terms.place.has(path)))
    }

    /// Counts an operation that it is about; returns whether something happens to it. Called under the lock
    /// of all rules.
    pub(super) fn meet(&self) -> bool {
        let before = self.met.fetch_add(1, Ordering::Relaxed);
        before >= self.terms.after
    }

    /// Whether it has happened as often as it should. Called under the same lock.
    pub(super) fn is_spent(&self) -> bool {
        self.met.load(Ordering::Relaxed) >= self.terms.after.saturating_add(self.terms.times)
    }

    pub(super) fn honours_cancel(&self) -> bool {
        self.terms.honours_cancel
    }

    /// It has happened once more.
    pub(super) fn announce(&self) {
        self.hits.send_modify(|hits| *hits += 1);
    }

    pub(super) fn hits(&self) -> &watch::Sender<u64> {
        &self.hits
    }

    /// How many operations it holds.
    pub(super) fn held(&self) -> usize {
        let held = lock(&self.held);
        let held = held.iter().flatten();
        held.filter(|held| !held.is_over()).count()
    }

    /// Keeps what is held, to release it; `false` if nothing is held any more.
    pub(super) fn keep(&self, held: &Arc<Held>) -> bool {
        match &mut *lock(&self.held) {
            None => false,
            Some(all) => {
                all.retain(|held| !held.is_over());
                all.push(held.clone());
                true
            }
        }
    }

    /// Holds nothing from now on; returns what it held.
    pub(super) fn end(&self) -> Vec<Arc<Held>> {
        lock(&self.held).take().unwrap_or_default()
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("terms", &self.terms)
            .field("action", &self.action)
            .field("hits", &*self.hits.borrow())
            .finish_non_exhaustive()
    }
}
