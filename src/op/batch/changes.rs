//! Many names that are made, changed or removed.

use std::io;
use std::sync::Arc;

use super::super::at::At;
use super::super::file::SharedFile;
use super::super::names;
use super::entries::{Called, Entries};
use super::finder::Finder;
use super::paths::Paths;
use crate::driver::Driver;
use crate::mounts::Mount;
use crate::opcode::Kind;
use crate::sys::path::c_path;
use crate::sys::rename::RenameMode;
use crate::sys::request::{self, Request};
use crate::sys::steps::Steps;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// With these permissions, less those of the umask.
    CreateDir(u32),
    HardLink,
    RemoveFile,
    Rename(RenameMode),
    Symlink,
}

/// See the module. `names` are those that are made or removed, or renamed from; `others` what links lead to, or the
/// new names; empty where there is only one name each.
pub(crate) struct Changes {
    pub(crate) change: Change,
    pub(crate) dir: Option<Arc<SharedFile>>,
    pub(crate) to_dir: Option<Arc<SharedFile>>,
    pub(crate) names: Paths,
    pub(crate) others: Paths,
}

impl Changes {
    /// A name that goes with one of the batch's directory.
    fn at(&self, index: usize) -> At<'_> {
        let dir = match self.change {
            // The link is the new name.
            Change::HardLink => self.to_dir.as_ref(),
            _ => self.dir.as_ref(),
        };
        self.names.from(dir, index)
    }

    fn other(&self, index: usize) -> At<'_> {
        let dir = match self.change {
            Change::HardLink => self.dir.as_ref(),
            _ => self.to_dir.as_ref(),
        };
        self.others.from(dir, index)
    }

    fn make(&self, index: usize, steps: &Steps) -> io::Result<i32> {
        let at = self.at(index).owned()?;
        match self.change {
            Change::CreateDir(mode) => request::CreateDir { at, mode }.block(steps),
            Change::HardLink => {
                let original = self.other(index).owned()?;
                request::HardLink { original, link: at }.block(steps)
            }
            Change::RemoveFile => {
                let directory = false;
                request::Remove { at, directory }.block(steps)
            }
            Change::Rename(mode) => {
                let to = self.other(index).owned()?;
                request::Rename { from: at, to, mode }.block(steps)
            }
            Change::Symlink => {
                let original = c_path(self.others.at(index))?;
                request::Symlink { original, link: at }.block(steps)
            }
        }
    }
}

impl Entries for Changes {
    type Output = ();

    fn kind(&self) -> Kind {
        match self.change {
            Change::CreateDir(_) => Kind::CreateDir,
            Change::HardLink => Kind::HardLink,
            Change::RemoveFile => Kind::RemoveFile,
            Change::Rename(_) => Kind::Rename,
            Change::Symlink => Kind::Symlink,
        }
    }

    fn paths(&self) -> &Paths {
        &self.names
    }

    fn mount(&self, finder: &mut Finder<'_>, index: usize) -> Arc<Mount> {
        let At { dir, path } = self.at(index);
        finder.of_name(dir, path)
    }

    async fn alone(&self, index: usize) -> io::Result<()> {
        let at = self.at(index);
        match self.change {
            Change::CreateDir(mode) => names::create_dir(at, mode).await,
            Change::HardLink => names::hard_link(self.other(index), at).await,
            Change::RemoveFile => names::remove(at, false).await,
            Change::Rename(mode) => names::rename(at, self.other(index), mode).await,
            Change::Symlink => names::symlink(self.others.at(index), at).await,
        }
    }

    fn call(
        &self,
        _driver: &Arc<Driver>,
        index: usize,
        _is_there: bool,
        steps: &Steps,
    ) -> Called<()> {
        Called::Done(self.make(index, steps).map(drop))
    }
}
