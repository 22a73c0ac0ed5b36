//! Listing a directory that is open, which std cannot.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::sync::Mutex;

use nix::dir::{Dir, OwningIter, Type};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::stat::kind;
use crate::base::errno::retry;
use crate::base::lock::lock;

/// One entry of an open directory.
#[derive(Debug)]
pub(crate) struct OpenEntry {
    pub(crate) name: OsString,
    pub(crate) ino: u64,
    /// Type bits of the mode, where the filesystem gives them with the name.
    pub(crate) type_bits: Option<u32>,
}

/// An open directory being listed, through a description of its own. Behind a lock that nobody waits
/// for, because what the C library has of it may not be shared.
pub(crate) struct OpenListing(Mutex<OwningIter>);

impl OpenListing {
    pub(crate) fn open(dir: impl AsFd) -> io::Result<OpenListing> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = retry(|| Ok(Dir::openat(&dir, c".", flags, Mode::empty())?))?;
        Ok(OpenListing(Mutex::new(dir.into_iter())))
    }

    /// Entries worth about `bytes` of names; `true` at the end of the directory.
    pub(crate) fn next_batch(&self, bytes: usize) -> (Vec<io::Result<OpenEntry>>, bool) {
        let mut entries = lock(&self.0);
        let mut batch = Vec::new();
        let mut used = 0;
        while used < bytes {
            let entry = match entries.next() {
                Some(Ok(entry)) => entry,
                // The C library would give the same error for ever.
                Some(Err(error)) => {
                    batch.push(Err(error.into()));
                    return (batch, true);
                }
                None => return (batch, true),
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            used += 24 + name.count_bytes();
            batch.push(Ok(OpenEntry {
                name: OsString::from_vec(name.to_bytes().to_vec()),
                ino: entry.ino(),
                type_bits: entry.file_type().map(type_bits),
            }));
        }
        (batch, false)
    }
}

fn type_bits(file_type: Type) -> u32 {
    match file_type {
        Type::BlockDevice => kind::BLOCK,
        Type::CharacterDevice => kind::CHARACTER,
        Type::Directory => kind::DIRECTORY,
        Type::Fifo => kind::FIFO,
        Type::File => kind::FILE,
        Type::Socket => kind::SOCKET,
        Type::Symlink => kind::SYMLINK,
    }
}
