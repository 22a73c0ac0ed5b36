//! Many files that are opened.

use std::io;
use std::sync::Arc;

use super::super::at::At;
use super::super::file::SharedFile;
use super::super::open::{NOT_OWNER, flag, open_at, opened};
use super::entries::{Called, Entries};
use super::finder::Finder;
use super::paths::Paths;
use crate::driver::Driver;
use crate::error::raw_os_error;
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::sys::fd::from_completion;
use crate::sys::request::{self, Request};
use crate::sys::steps::Steps;

/// See the module.
pub(crate) struct Opens {
    pub(crate) dir: Option<Arc<SharedFile>>,
    pub(crate) paths: Paths,
    pub(crate) flags: i32,
    /// Flags that are left out for files of others.
    pub(crate) optional: i32,
    pub(crate) mode: u32,
}

impl Opens {
    fn at(&self, index: usize) -> At<'_> {
        self.paths.from(self.dir.as_ref(), index)
    }

    fn open(
        &self,
        driver: &Arc<Driver>,
        index: usize,
        flags: i32,
        steps: &Steps,
    ) -> io::Result<Arc<SharedFile>> {
        let mut request = request::Open {
            at: self.at(index).owned()?,
            flags: flags | flag::O_CLOEXEC,
            mode: self.mode,
        };
        let policy = driver.settings().dataless;
        let number = policy.heed(Kind::Open, || request.block(steps))?;
        Ok(opened(driver, from_completion(number), flags))
    }
}

impl Entries for Opens {
    type Output = Arc<SharedFile>;

    fn kind(&self) -> Kind {
        Kind::Open
    }

    fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Where each leads to: what waits for a peer is to hold up nothing else.
    fn mount(&self, finder: &mut Finder<'_>, index: usize) -> Arc<Mount> {
        finder.wherever(self.dir.as_ref(), self.paths.at(index), true)
    }

    async fn alone(&self, index: usize) -> io::Result<Arc<SharedFile>> {
        let open = |flags| open_at(self.at(index), flags, self.mode, 0);
        match open(self.flags | self.optional).await {
            Err(error) if self.optional != 0 && raw_os_error(&error) == Some(NOT_OWNER) => {
                open(self.flags).await
            }
            opened => opened,
        }
    }

    fn call(
        &self,
        driver: &Arc<Driver>,
        index: usize,
        _is_there: bool,
        steps: &Steps,
    ) -> Called<Arc<SharedFile>> {
        let open = |flags| self.open(driver, index, flags, steps);
        Called::Done(match open(self.flags | self.optional) {
            Err(error) if self.optional != 0 && raw_os_error(&error) == Some(NOT_OWNER) => {
                open(self.flags)
            }
            opened => opened,
        })
    }
}
