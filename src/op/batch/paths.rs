//! Many paths in one piece of memory.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::super::at::At;
use super::super::file::SharedFile;

/// Paths as their bytes, one behind the other: a million of them are two allocations.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Paths {
    pub(crate) fn push(&mut self, path: &Path) {
        self.bytes.extend_from_slice(path.as_os_str().as_bytes());
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn at(&self, index: usize) -> &Path {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Path::new(OsStr::from_bytes(&self.bytes[start..self.ends[index]]))
    }

    /// One that starts from an open directory, if there is one.
    pub(super) fn from<'a>(&'a self, dir: Option<&'a Arc<SharedFile>>, index: usize) -> At<'a> {
        let path = self.at(index);
        At { dir, path }
    }
}

impl<P: AsRef<Path>> FromIterator<P> for Paths {
    fn from_iter<I: IntoIterator<Item = P>>(given: I) -> Paths {
        let mut paths = Paths::default();
        given.into_iter().for_each(|path| paths.push(path.as_ref()));
        paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Empty ones keep their places, and none runs into the next.
    #[test]
    fn paths_come_back_as_they_were_given() {
        let given = ["", "/a", "", "b/c", "\u{e4}", ""];
        let paths: Paths = given.iter().collect();
        assert_eq!(paths.len(), given.len());
        for (index, path) in given.iter().enumerate() {
            assert_eq!(paths.at(index), Path::new(path));
        }
        assert_eq!(Paths::from_iter([""; 0]).len(), 0);
    }
}
