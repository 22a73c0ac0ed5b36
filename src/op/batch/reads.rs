//! Many files that are read whole, as they were seen before.

use std::io;
use std::sync::Arc;

use super::super::at::At;
use super::super::file::SharedFile;
use super::super::unchanged;
use super::super::whole::{AtPoll, at_poll};
use super::entries::{Called, Entries};
use super::finder::Finder;
use super::paths::Paths;
use crate::driver::Driver;
use crate::error::Error;
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::sys::steps::Steps;
use crate::sys::unchanged::{Named, Seen, read, read_named};

/// See the module.
pub(crate) struct Reads {
    pub(crate) dir: Option<Arc<SharedFile>>,
    pub(crate) paths: Paths,
    /// What each was.
    pub(crate) seen: Vec<Seen>,
}

impl Reads {
    fn at(&self, index: usize) -> At<'_> {
        self.paths.from(self.dir.as_ref(), index)
    }
}

impl Entries for Reads {
    type Output = Vec<u8>;

    fn kind(&self) -> Kind {
        Kind::ReadFile
    }

    fn paths(&self) -> &Paths {
        &self.paths
    }

    fn mount(&self, finder: &mut Finder<'_>, index: usize) -> Arc<Mount> {
        finder.of_path(self.dir.as_ref(), self.paths.at(index))
    }

    fn mount_behind(&self, finder: &mut Finder<'_>, index: usize) -> Arc<Mount> {
        finder.wherever(self.dir.as_ref(), self.paths.at(index), true)
    }

    fn at_poll(&self, driver: &Arc<Driver>, index: usize) -> Option<io::Result<Vec<u8>>> {
        match at_poll(driver, self.at(index), Some(&self.seen[index])) {
            Ok(AtPoll::Answer(answer)) => {
                Some(answer.map_err(|error| Error::on_path(error, self.path(index))))
            }
            Ok(AtPoll::Missed | AtPoll::Waits(_)) => None,
            Err(error) => Some(Err(error)),
        }
    }

    async fn alone(&self, index: usize) -> io::Result<Vec<u8>> {
        unchanged::read(self.at(index), self.seen[index]).await
    }

    /// What a link leads to may be on another mount, whose threads are to wait for it.
    fn call(
        &self,
        driver: &Arc<Driver>,
        index: usize,
        is_there: bool,
        steps: &Steps,
    ) -> Called<Vec<u8>> {
        let (policy, seen) = (driver.settings().dataless, &self.seen[index]);
        let named = self.at(index).owned().and_then(|at| {
            policy.heed(Kind::ReadFile, || match is_there {
                true => read(&at, seen, steps).map(Named::Content),
                false => read_named(&at, seen, steps),
            })
        });
        match named {
            Ok(Named::Content(bytes)) => Called::Done(Ok(bytes)),
            Ok(Named::Link) => Called::Elsewhere,
            Err(error) => Called::Done(Err(Error::on_path(error, self.path(index)))),
        }
    }
}
