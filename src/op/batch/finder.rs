//! Which mount each of many paths is on, at the cost of a comparison for most of them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::super::file::SharedFile;
use super::super::locate::locate_at;
use crate::driver::Driver;
use crate::mounts::{self, Mount};
use crate::sys::path::with_c_path;

/// Looks paths up for one batch. What is in the same directory as the path before is on the same mount, unless it has
/// the name of a place where something is mounted.
pub(crate) struct Finder<'a> {
    driver: &'a Arc<Driver>,
    memory: &'a mut Memory,
}

/// What a batch remembers of the paths before.
#[derive(Default)]
pub(crate) struct Memory {
    parent: Vec<u8>,
    mount: Option<Arc<Mount>>,
    points: Option<Option<mounts::PointNames>>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(driver: &'a Arc<Driver>, memory: &'a mut Memory) -> Finder<'a> {
        Finder { driver, memory }
    }

    /// The mount of the directory that a path's last name is in.
    pub(crate) fn of_name(&mut self, dir: Option<&Arc<SharedFile>>, path: &Path) -> Arc<Mount> {
        let bytes = path.as_os_str().as_bytes();
        let parent = match (bytes.iter().rposition(|&byte| byte == b'/'), dir) {
            (Some(slash), _) => &bytes[..=slash],
            (None, Some(dir)) => return dir.mount(),
            (None, None) => b".",
        };
        if let (Some(mount), true) = (&self.memory.mount, self.memory.parent == parent) {
            return mount.clone();
        }
        let mount = self.wherever(dir, Path::new(OsStr::from_bytes(parent)), true);
        self.memory.parent.clear();
        self.memory.parent.extend_from_slice(parent);
        self.memory.mount.insert(mount).clone()
    }

    /// The mount of what a path leads to, without following it where it is a link.
    pub(crate) fn of_path(&mut self, dir: Option<&Arc<SharedFile>>, path: &Path) -> Arc<Mount> {
        if self.may_be_mounted_on(path) {
            return self.wherever(dir, path, false);
        }
        self.of_name(dir, path)
    }

    /// The mount of a path, asked of the kernel.
    pub(crate) fn wherever(
        &self,
        dir: Option<&Arc<SharedFile>>,
        path: &Path,
        follow: bool,
    ) -> Arc<Mount> {
        let located = with_c_path(path, |path| Ok(locate_at(self.driver, dir, path, follow)));
        // It ends with an error, wherever it goes.
        located.unwrap_or_else(|_| Mount::unknown())
    }

    /// Whether the path's last name is that of a mount point, or may be: `.`, `..` and the like.
    fn may_be_mounted_on(&mut self, path: &Path) -> bool {
        let points = self.memory.points.get_or_insert_with(mounts::point_names);
        let (Some(points), Some(name)) = (points, path.file_name()) else {
            return true;
        };
        let bytes = path.as_os_str().as_bytes();
        !bytes.ends_with(name.as_bytes()) || points.contains(name.as_bytes())
    }
}
