//! The fake backend: operations that a rule names are withheld, delayed or failed instead of going
//! their way.
//!
//! It stands between the begin of an operation and the choice of its way, so that to everything else
//! such an operation looks like one that the kernel has: a deadline, a cancel, a dropped future and the end
//! of a handle meet it as they meet a real one.

mod fault;
mod guard;
mod held;
mod rule;

use std::cell::LazyCell;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::base::lock::lock;
use crate::driver::core::Driver;
use crate::driver::job::fakeable::Fakeable;
use crate::driver::job::{Job, Outcome};
use crate::driver::mount::group::Group;
use crate::driver::mount::mount_breaker::{Ask, Questioned};
use crate::error::Error;
use crate::mounts::{Asker, Mount};
use crate::opcode::Kind;
use crate::settings::Dataless;
pub use fault::Fault;
pub use guard::FaultGuard;
use held::Held;
use rule::{Action, Rule};

/// What goes wrong on the handles that these are installed on: none of it, until [`on`](Faults::on) is
/// called.
///
/// Clones are the same faults, so that one clone goes to the handle and another stays with the test.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// use tidegate::{Handle, fs, opcode::Kind, testing::Faults};
///
/// let faults = Faults::new();
/// let handle = Handle::builder().faults(faults.clone()).install()?;
/// let (stuck, fine) = (dir.path().join("stuck"), dir.path().join("fine"));
/// fs::write(&stuck, "late").await?;
/// fs::write(&fine, "in time").await?;
///
/// // Nobody answers there.
/// let rule = faults.on(Kind::Metadata).path_is(&stuck).never();
/// let waiting = tokio::spawn(fs::metadata(stuck));
/// rule.wait_hit(1).await;
/// assert!(rule.held() == 1 && handle.stats().in_flight > 0);
/// // Everything else goes on.
/// assert_eq!(fs::metadata(&fine).await?.len(), 7);
/// // It answers again.
/// rule.release();
/// assert_eq!(waiting.await??.len(), 4);
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Default)]
pub(super) struct Shared {
    /// How many rules there are, to be read without the lock.
    count: AtomicUsize,
    /// In the order in which they were made.
    rules: Mutex<Vec<Arc<Rule>>>,
}

impl Faults {
    /// Without any rule: everything goes its way.
    ///
    /// See [`Faults`].
    pub fn new() -> Faults {
        Faults::default()
    }

    /// Begins a rule for one kind of operation. `kind` is the row of the [op table](crate::opcode::TABLE) that
    /// errors and statistics name. Which of the kinds a call performs depends on the backend:
    /// [`fs::read`](crate::fs::read) is one `read_file` on blocking threads, and an `open` and `read`s on a
    /// ring. [`Fault::or`] adds further kinds.
    ///
    /// See [`Faults`].
    pub fn on(&self, kind: Kind) -> Fault {
        Fault::new(self.shared.clone(), Some(kind))
    }

    /// Begins a rule for all kinds of operations. Those that nobody waits for, as the close of a file that was
    /// dropped, have to be named by their kind.
    ///
    /// See [`Faults`].
    pub fn on_any_kind(&self) -> Fault {
        Fault::new(self.shared.clone(), None)
    }

    /// Whether there is any rule, so that polls answer nothing.
    pub(super) fn are_set(&self) -> bool {
        self.shared.count.load(Ordering::Acquire) > 0
    }

    /// Does to an operation what a rule says; gives it back if it shall go its way.
    pub(super) fn take(
        &self,
        driver: &Arc<Driver>,
        group: &Arc<Group>,
        job: Arc<dyn Job>,
    ) -> Option<Arc<dyn Job>> {
        if !self.are_set() {
            return Some(job);
        }
        let paths = LazyCell::new(|| job.fakeable().map_or(Vec::new(), Fakeable::paths));
        let is_left = job.fakeable().is_some_and(Fakeable::is_left);
        let Some(rule) = self.shared.rule_for(job.kind(), is_left, || &paths) else {
            return Some(job);
        };
        let left = match rule.action {
            Action::Dataless => feign_dataless(driver, job),
            Action::Fail(number) => {
                let error = std::io::Error::from_raw_os_error(number);
                job.end(Outcome::Returned(Err(error)));
                None
            }
            Action::Hold(until) => {
                Held::hold(&rule, until, driver, group, job);
                None
            }
            Action::Pass => Some(job),
            Action::Shorten(bytes) => {
                job.fakeable().inspect(|job| job.shorten(bytes));
                Some(job)
            }
        };
        rule.announce();
        left
    }
}

impl Questioned for Faults {
    /// The attributes of its root are what it is asked for.
    fn take_question(&self, mount: &Mount, asker: &Weak<dyn Asker>, ask: Ask) -> Option<Ask> {
        let paths: Vec<_> = mount.point().into_iter().collect();
        let Some(rule) = self.shared.rule_for(Kind::Statx, false, || &paths) else {
            return Some(ask);
        };
        let left = match rule.action {
            // An error is an answer, too.
            Action::Fail(_) => {
                asker.upgrade().inspect(|asker| asker.answered());
                None
            }
            Action::Hold(until) => {
                Held::hold_question(&rule, until, ask);
                None
            }
            Action::Dataless | Action::Pass | Action::Shorten(_) => Some(ask),
        };
        rule.announce();
        left
    }
}

/// Has a file appear to have its content elsewhere, to operations that look and to those that fetch it.
fn feign_dataless(driver: &Driver, job: Arc<dyn Job>) -> Option<Arc<dyn Job>> {
    let operation = job.kind();
    let fetches = matches!(
        operation,
        Kind::CopyFile | Kind::Open | Kind::OpenWithin | Kind::ReadFile | Kind::ReadSmallFile
    );
    if fetches && driver.settings().dataless == Dataless::Refuse {
        let path = job.path();
        job.end(Outcome::Refused(Error::Dataless { operation, path }.into()));
        return None;
    }
    job.fakeable().inspect(|job| job.feign_dataless());
    Some(job)
}

impl Driver {
    /// Gives the operation back if no rule of the fake backend takes it.
    pub(super) fn unless_faulty(
        self: &Arc<Self>,
        group: &Arc<Group>,
        job: Arc<dyn Job>,
    ) -> Option<Arc<dyn Job>> {
        match self.faults.get() {
            Some(faults) => faults.take(self, group, job),
            None => Some(job),
        }
    }
}

impl Shared {
    fn add(&self, rule: Arc<Rule>) {
        let mut rules = lock(&self.rules);
        rules.push(rule);
        self.count.store(rules.len(), Ordering::Release);
    }

    fn remove(&self, rule: &Arc<Rule>) {
        let mut rules = lock(&self.rules);
        rules.retain(|other| !Arc::ptr_eq(other, rule));
        self.count.store(rules.len(), Ordering::Release);
    }

    /// The rule that the operation falls under, which counts it: of several, the one made last.
    fn rule_for<'a>(
        &self,
        kind: Kind,
        is_left: bool,
        paths: impl Fn() -> &'a [PathBuf],
    ) -> Option<Arc<Rule>> {
        let mut rules = lock(&self.rules);
        let place = rules
            .iter()
            .rposition(|rule| rule.concerns(kind, is_left, &paths) && rule.meet())?;
        let rule = rules[place].clone();
        if rule.is_spent() {
            rules.remove(place);
            self.count.store(rules.len(), Ordering::Release);
        }
        Some(rule)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&*lock(&self.shared.rules)).finish()
    }
}
