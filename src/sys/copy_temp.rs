//! A file of a copy until it is whole: its temporary name, and how it gets its own.
#![allow(
    clippy::disallowed_methods,
    reason = "this is where blocking calls live"
)]

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{AtFlags, OFlag, renameat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::copy::open_at;
use super::copy_left;
use super::copy_meta::Warning;
use super::path::{c_path, with_c_path};
use super::stat::{Stat, kind};
use crate::base::errno::retry;
use crate::base::global::Global;

/// What a warning says of a temporary name that stays beside the right one.
pub(crate) const REMOVE: &str = "remove_file";

/// A file under a temporary name, removed on drop unless it was published.
pub(super) struct Temp<'a> {
    dir: BorrowedFd<'a>,
    path: PathBuf,
    /// Whether it may take the place of a FIFO.
    is_fifo: bool,
    published: bool,
}

impl<'a> Temp<'a> {
    /// Of what was just made.
    pub(super) fn of(dir: BorrowedFd<'a>, path: &Path) -> Temp<'a> {
        Temp {
            dir,
            path: path.to_path_buf(),
            is_fifo: false,
            published: false,
        }
    }

    pub(super) fn of_fifo(mut self) -> Temp<'a> {
        self.is_fifo = true;
        self
    }

    /// Makes a file, or goes on with one of that name that an earlier copy has left, if it is one that only we can have
    /// written.
    pub(super) fn create(
        (dir, name): (BorrowedFd<'a>, Option<&Path>),
        reuse: bool,
    ) -> io::Result<(Temp<'a>, File)> {
        const TRIES_MAX: u32 = 16;
        if let (Some(name), true) = (name, reuse) {
            let mut temp = Temp::of(dir, name);
            if let Some(file) = copy_left::reopen(dir, name) {
                return Ok((temp, file));
            }
            temp.remove()?;
        }
        let mut tries = 0;
        loop {
            let path = name.map_or_else(|| temp_name(OsStr::new("")).into(), Path::to_path_buf);
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
            match open_at(dir, &path, flags, 0o600) {
                Ok(file) => {
                    return Ok((Temp::of(dir, &path), file));
                }
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && name.is_none()
                        && tries < TRIES_MAX =>
                {
                    tries += 1
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn remove(&mut self) -> io::Result<()> {
        let is_gone = std::mem::replace(&mut self.published, true);
        if is_gone {
            return Ok(());
        }
        retry(|| Ok(unlinkat(self.dir, &self.path, UnlinkatFlags::NoRemoveDir)?))
    }

    /// Gives it its name, in that directory. That it has its temporary one as well, where that cannot be removed, is a
    /// warning.
    pub(super) fn publish(
        mut self,
        (dir, to): (BorrowedFd<'_>, &Path),
        (create_new, sync): (bool, bool),
        warnings: &mut Vec<Warning>,
    ) -> io::Result<()> {
        let name = c_path(to)?;
        if create_new {
            // A rename would replace what exists; a link fails, and the temporary name goes on drop.
            retry(|| {
                Ok(linkat(
                    self.dir,
                    &self.path,
                    dir,
                    name.as_c_str(),
                    AtFlags::empty(),
                )?)
            })?;
        } else {
            let is_link = refuse_special(dir, to, self.is_fifo)?;
            retry(|| Ok(renameat(self.dir, &self.path, dir, name.as_c_str())?))?;
            // Onto another name of the same file a rename does nothing and succeeds: the temporary name stays.
            self.published = !is_link;
        }
        match self.remove() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warnings.push((REMOVE, error));
            }
            _ => {}
        }
        if sync {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
            open_at(dir, Path::new("."), flags, 0)?.sync_all()?;
        }
        Ok(())
    }
}

/// What is not a file, a link or a directory is no earlier state of a copy: it is not replaced by one. Whether what is
/// there has several names.
fn refuse_special(dir: BorrowedFd<'_>, to: &Path, is_fifo: bool) -> io::Result<bool> {
    let there = with_c_path(to, |to| super::blocking::stat_at(dir, to, false));
    let there = match there {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    match special(&there) {
        Some(what) if !(is_fifo && there.type_bits() == kind::FIFO) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("the destination is {what} and is not replaced; remove it first"),
        )),
        _ => Ok(there.nlink > 1),
    }
}

/// What it is, if it is neither a file, a link nor a directory.
pub(crate) fn special(there: &Stat) -> Option<&'static str> {
    match there.type_bits() {
        kind::FIFO => Some("a FIFO"),
        kind::SOCKET => Some("a socket"),
        kind::BLOCK | kind::CHARACTER => Some("a device"),
        _ => None,
    }
}

impl Drop for Temp<'_> {
    fn drop(&mut self) {
        // Nothing can be done about an error here, and the copy has failed.
        let _ = self.remove();
    }
}

const HEAD: &str = ".tidegate-";
const TAIL: &str = ".tmp";

/// A name that no other copy of this process has, and hardly one of another process. It tells what name the file is to
/// get, and does not contain it, as that may be as long as a name can be.
pub(crate) fn temp_name(of: &OsStr) -> String {
    use std::hash::{BuildHasher, RandomState};
    /// Each process goes through all numbers in steps of its own beginning.
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    static SEED: Global<u64> = Global::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let seed = SEED.get_or_make(|| RandomState::new().hash_one(std::process::id()));
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let unique = seed.wrapping_add(number.wrapping_mul(STEP));
    format!("{HEAD}{:016x}-{unique:016x}{TAIL}", sum(of))
}

/// What a temporary name tells of the name that its file was to get.
pub(crate) fn sum(name: &OsStr) -> u64 {
    // FNV-1a: later versions must come to the same.
    let bytes = name.as_bytes().iter();
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The sum in a name, if it is a temporary one.
pub(crate) fn sum_in(name: &[u8]) -> Option<u64> {
    const DIGITS: usize = 16;
    let name = name.strip_prefix(HEAD.as_bytes())?;
    let name = std::str::from_utf8(name.strip_suffix(TAIL.as_bytes())?).ok()?;
    let (sum, unique) = name.split_once('-')?;
    let number = |text: &str| {
        let are_digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_one = text.len() == DIGITS && are_digits;
        is_one.then(|| u64::from_str_radix(text, 16).ok())?
    };
    number(unique)?;
    number(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A temporary name tells the sum of its file's, no two are the same, and no other name is taken for one.
    #[test]
    fn temporary_names_tell_whose_they_are() {
        let mut seen = std::collections::HashSet::new();
        for name in ["", "a", "file", "n\u{fc}mber"].map(OsStr::new) {
            for _ in 0..100 {
                let temporary = temp_name(name);
                assert_eq!(sum_in(temporary.as_bytes()), Some(sum(name)));
                assert!(seen.insert(temporary));
            }
        }
        for other in [
            ".tidegate-.tmp",
            ".tidegate-0123456789abcdef.tmp",
            ".tidegate-0123456789abcdef-1.tmp",
            ".tidegate-0123456789abcdef-+123456789abcde.tmp",
            "x.tidegate-0123456789abcdef-0123456789abcdef.tmp",
            ".tidegate-0123456789abcdef-0123456789abcdef.tmpx",
        ] {
            assert_eq!(sum_in(other.as_bytes()), None, "{other}");
        }
    }
}
