//! What a batch is made of.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::finder::Finder;
use super::paths::Paths;
use crate::driver::Driver;
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::sys::steps::Steps;

/// What became of an entry on a thread.
pub(crate) enum Called<T> {
    Done(io::Result<T>),
    /// It leads on to where the thread's mount may not be: to be done there.
    Elsewhere,
}

/// Operations of one kind on many names. Each can be done in several ways, with the same result.
pub(crate) trait Entries: Send + Sync + 'static {
    type Output: Send + 'static;

    fn kind(&self) -> Kind;

    /// What the entries are about, in their order.
    fn paths(&self) -> &Paths;

    fn len(&self) -> usize {
        self.paths().len()
    }

    /// What an entry is about, for errors and for whoever wants to know what is stuck.
    fn path(&self, index: usize) -> &Path {
        self.paths().at(index)
    }

    /// The mount whose threads do an entry.
    fn mount(&self, finder: &mut Finder<'_>, index: usize) -> Arc<Mount>;

    /// The same for an entry that leads elsewhere.
    fn mount_behind(&self, finder: &mut Finder<'_>, index: usize) -> Arc<Mount> {
        self.mount(finder, index)
    }

    /// The result, if the kernel has it in memory.
    fn at_poll(&self, _driver: &Arc<Driver>, _index: usize) -> Option<io::Result<Self::Output>> {
        None
    }

    /// An entry as an operation of its own.
    fn alone(&self, index: usize) -> impl Future<Output = io::Result<Self::Output>> + Send;

    /// Does an entry on this thread. `is_there` says that its mount is known to be the thread's, wherever it leads.
    fn call(
        &self,
        driver: &Arc<Driver>,
        index: usize,
        is_there: bool,
        steps: &Steps,
    ) -> Called<Self::Output>;
}
