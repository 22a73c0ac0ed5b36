//! What an operation needs of the driver that it belongs to.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::runtime;

use super::clock::Keeper;
use crate::driver::job::Job;
use crate::driver::job::registry::Registry;
use crate::driver::mount::group::Group;
use crate::observe::SharedCounters;
use crate::settings::Settings;

/// See the module.
pub(crate) trait Host: Send + Sync {
    fn counters(&self) -> &SharedCounters;
    /// The list of its operations that are not over.
    fn registry(&self) -> &Registry;
    fn settings(&self) -> &Settings;
    /// Who holds its runtime's clock, if a test has stopped that.
    fn keeper(&self) -> &Arc<Keeper>;
    /// Whether one thread polls for its runtime, and no other.
    fn has_one_thread(&self) -> bool;
    /// Whether that is this one.
    fn is_of(&self, runtime: runtime::Id) -> bool;
    fn is_closed(&self) -> bool;
    /// Whether this is a forked child's copy of its parent's, which does nothing.
    fn is_of_parent(&self) -> bool;
    /// Whether worker rings can be used is found out while other threads do the work.
    fn look_for_io_driver(&self);
    /// Sends an operation on that was held back behind a fence.
    fn resume(self: Arc<Self>, group: &Arc<Group>, job: Arc<dyn Job>);
    /// Sends an operation its way once more.
    fn send_again(&self, group: &Arc<Group>, job: Arc<dyn Job>);
    /// Sends on a thread's way what a ring could not do.
    fn to_thread(&self, group: &Arc<Group>, job: Arc<dyn Job>);
    /// Closes a descriptor where that may sleep.
    fn close_later(self: Arc<Self>, fd: OwnedFd, group: &Arc<Group>);
}
