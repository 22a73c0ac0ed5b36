//! Removing a tree: names relative to open directories, so that no link that is put there meanwhile is followed; a
//! list of directories instead of recursion, so that no depth takes the stack; and few of them open at a time.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::unistd::{UnlinkatFlags, unlinkat};

use super::stat::kind;
use super::steps::Steps;
use super::walking::{self, HERE, Id, Names, Reach, id_of};
use crate::base::errno::{is_out_of_descriptors, retry};
use crate::limits::{REMOVED_DIRS_OPEN, WALK_LIST_BYTES};

/// Removes a directory with all that is in it, or a link itself: what std does, with its errors. Stops between two
/// entries once nobody wants it.
pub(crate) fn remove_dir_all(path: &Path, steps: &Steps) -> io::Result<()> {
    let path = super::path::c_path(path)?;
    let found = super::blocking::stat_path(&path, false)?;
    if found.type_bits() == kind::SYMLINK {
        return unlink(HERE, &path);
    }
    let mut removal = Removal::begin(path)?;
    while !removal.step()? {
        steps.check()?;
    }
    Ok(())
}

/// An open directory, and what is left of its entries.
struct Listing {
    dir: OwnedFd,
    names: Names,
    next: usize,
}

impl Listing {
    fn new(dir: OwnedFd) -> Listing {
        Listing {
            dir,
            names: Names::empty(0),
            next: 0,
        }
    }

    /// Which of the names comes next, of which some more are listed if need be.
    fn next(&mut self) -> io::Result<Option<usize>> {
        while self.next == self.names.len() {
            if self.names.at_end {
                return Ok(None);
            }
            self.names = walking::list(self.dir.as_fd(), WALK_LIST_BYTES, false, || true)?;
            self.next = 0;
        }
        self.next += 1;
        Ok(Some(self.next - 1))
    }
}

/// A directory on the way from the root of the tree to where the removal is.
struct Level {
    /// In the level above; the whole path for the first.
    name: CString,
    /// While it is open.
    list: Option<Listing>,
    /// Known once it was closed while there was something below it.
    id: Option<Id>,
}

impl Level {
    fn new(name: CString, fd: OwnedFd) -> Level {
        Level {
            name,
            list: Some(Listing::new(fd)),
            id: None,
        }
    }

    /// Gives up its descriptor. What is left of its entries is listed anew when it is opened again.
    fn close(&mut self) -> io::Result<()> {
        if let Some(list) = &self.list {
            self.id = Some(id_of(list.dir.as_fd())?);
            self.list = None;
        }
        Ok(())
    }

    fn is(&self, fd: BorrowedFd<'_>) -> bool {
        self.id.is_some() && id_of(fd).ok() == self.id
    }
}

struct Removal {
    /// Never empty before the end. Open are the last ones, from some level on.
    levels: Vec<Level>,
    first_open: usize,
}

/// Opens a directory itself, whatever link has its name by now.
fn open(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    walking::open_dir(dir, name, Reach::NAME)
}

fn unlink(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    retry(|| Ok(unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?))
}

fn remove_dir(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    retry(|| Ok(unlinkat(dir, name, UnlinkatFlags::RemoveDir)?))
}

/// Somebody else was faster.
fn unless_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn is_no_dir(error: &io::Error) -> bool {
    // The last is FreeBSD's word for a link.
    let numbers = [libc::ENOTDIR, libc::ELOOP, libc::EMLINK];
    error
        .raw_os_error()
        .is_some_and(|number| numbers.contains(&number))
}

impl Removal {
    fn begin(path: CString) -> io::Result<Removal> {
        let fd = open(HERE, &path)?;
        Ok(Removal {
            levels: vec![Level::new(path, fd)],
            first_open: 0,
        })
    }

    /// Removes one entry, goes into a directory, or leaves one. `true` once all is removed.
    fn step(&mut self) -> io::Result<bool> {
        let Some(list) = self.levels.last_mut().and_then(|level| level.list.as_mut()) else {
            return Ok(true);
        };
        let Some(index) = list.next()? else {
            return self.leave();
        };
        let entry = list.names.get(index);
        let removed = match entry.type_bits {
            // What may be a directory is never unlinked as if it were none.
            None | Some(kind::DIRECTORY) => {
                let name = entry.name.to_owned();
                self.enter(&name)
            }
            Some(_) => unlink(list.dir.as_fd(), entry.name),
        };
        unless_gone(removed).map(|()| false)
    }

    fn last_fd(&self) -> io::Result<BorrowedFd<'_>> {
        let list = self.levels.last().and_then(|level| level.list.as_ref());
        list.map(|list| list.dir.as_fd()).ok_or_else(gone)
    }

    fn enter(&mut self, name: &CStr) -> io::Result<()> {
        let opened = loop {
            match open(self.last_fd()?, name) {
                Err(error) if is_out_of_descriptors(&error) && self.open_count() > 1 => {
                    self.close_one()?;
                }
                opened => break opened,
            }
        };
        match opened {
            Ok(fd) => {
                self.levels.push(Level::new(name.to_owned(), fd));
                if self.open_count() > REMOVED_DIRS_OPEN {
                    self.close_one()?;
                }
                Ok(())
            }
            Err(error) if is_no_dir(&error) => unlink(self.last_fd()?, name),
            Err(error) => Err(error),
        }
    }

    fn open_count(&self) -> usize {
        self.levels.len() - self.first_open
    }

    /// Closes the one that is needed last.
    fn close_one(&mut self) -> io::Result<()> {
        self.levels[self.first_open].close()?;
        self.first_open += 1;
        Ok(())
    }

    /// Removes the directory whose entries are gone, from the one above.
    fn leave(&mut self) -> io::Result<bool> {
        let Some(left) = self.levels.pop() else {
            return Ok(true);
        };
        if self.levels.is_empty() {
            return unless_gone(remove_dir(HERE, &left.name)).map(|()| true);
        }
        if self.first_open == self.levels.len() && !self.reopen(&left)? {
            // Where it was is not in the tree any more.
            return Ok(false);
        }
        drop(left.list);
        unless_gone(remove_dir(self.last_fd()?, &left.name)).map(|()| false)
    }

    /// Opens the last level again, from the one below it or by the names from the root on. `false` if it has left the
    /// tree: then the last that is still there is the last level.
    fn reopen(&mut self, left: &Level) -> io::Result<bool> {
        let above = left.list.as_ref().map(|list| open(list.dir.as_fd(), c".."));
        if let (Some(Ok(fd)), Some(last)) = (above, self.levels.last_mut()) {
            if last.is(fd.as_fd()) {
                last.list = Some(Listing::new(fd));
                self.first_open = self.levels.len() - 1;
                return Ok(true);
            }
        }
        let mut fd = open(HERE, &self.levels[0].name)?;
        if !self.levels[0].is(fd.as_fd()) {
            return Err(gone());
        }
        let mut reached = 1;
        while let Some(level) = self.levels.get(reached) {
            match open(fd.as_fd(), &level.name) {
                Ok(next) if level.is(next.as_fd()) => fd = next,
                Ok(_) => break,
                Err(error) if is_no_dir(&error) || error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
            reached += 1;
        }
        let is_all = reached == self.levels.len();
        self.levels.truncate(reached);
        self.first_open = reached - 1;
        self.levels[reached - 1].list = Some(Listing::new(fd));
        Ok(is_all)
    }
}

/// The tree itself was moved away.
fn gone() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOENT)
}

#[cfg(test)]
#[path = "removing_tests.rs"]
mod tests;
