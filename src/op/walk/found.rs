//! What a walk finds: entries, errors and numbers.

use std::error::Error as StdError;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::node::{Id, Node};
use crate::base::errno;
use crate::error::Error;
use crate::observe::SharedCounters;
use crate::op::statx::Statx;
use crate::sys::stat::kind;

/// Entries that were found together, and what they have in common.
pub(crate) struct Chunk {
    /// The directory that they are in; none for the root.
    dir: Option<Arc<Node>>,
    pub(super) names: Box<[u8]>,
}

impl Chunk {
    pub(super) fn new(dir: Option<Arc<Node>>, names: Vec<u8>) -> Arc<Chunk> {
        Arc::new(Chunk {
            dir,
            names: names.into(),
        })
    }

    fn name(&self, at: u32, len: u32) -> &[u8] {
        let at = at as usize;
        &self.names[at..at + len as usize]
    }

    fn depth(&self) -> usize {
        self.dir.as_ref().map_or(0, |dir| dir.depth)
    }

    fn path(&self, name: &[u8]) -> PathBuf {
        let name = OsStr::from_bytes(name);
        match &self.dir {
            Some(dir) => dir.path_to(name),
            None => name.into(),
        }
    }
}

/// Which of the entries of a chunk a thread is at, for whoever looks from outside.
pub(super) struct Marker {
    chunk: Arc<Chunk>,
    /// Where its name begins, and how long that is.
    name: AtomicU64,
}

impl Marker {
    pub(super) fn new(chunk: &Arc<Chunk>) -> Arc<Marker> {
        Arc::new(Marker {
            chunk: chunk.clone(),
            name: AtomicU64::new(0),
        })
    }

    pub(super) fn at(&self, row: &Row) {
        let name = u64::from(row.name_at) << 32 | u64::from(row.name_len);
        self.name.store(name, Ordering::Relaxed);
    }

    pub(super) fn path(&self) -> PathBuf {
        let name = self.name.load(Ordering::Relaxed);
        self.chunk
            .path(self.chunk.name((name >> 32) as u32, name as u32))
    }

    pub(super) fn depth(&self) -> usize {
        self.chunk.depth()
    }
}

/// One entry, before its chunk is whole.
pub(super) struct Row {
    pub(super) name_at: u32,
    pub(super) name_len: u32,
    pub(super) type_bits: u32,
    pub(super) ino: u64,
    pub(super) stat: Option<Statx>,
    pub(super) flags: Flags,
}

/// What else is known of an entry.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    /// Its attributes are those of what a link leads to.
    pub(crate) followed: bool,
    /// Another filesystem is mounted there, and was not looked at.
    pub(crate) mount_point: bool,
    /// Device and inode, where they were asked for.
    pub(super) id: Option<Id>,
}

/// One entry.
#[derive(Clone)]
pub(crate) struct Found {
    chunk: Arc<Chunk>,
    name_at: u32,
    name_len: u32,
    pub(crate) type_bits: u32,
    pub(crate) ino: u64,
    pub(crate) stat: Option<Statx>,
    pub(crate) flags: Flags,
}

impl Found {
    pub(super) fn new(chunk: &Arc<Chunk>, row: Row) -> Found {
        Found {
            chunk: chunk.clone(),
            name_at: row.name_at,
            name_len: row.name_len,
            type_bits: row.type_bits,
            ino: row.ino,
            stat: row.stat,
            flags: row.flags,
        }
    }

    fn name_bytes(&self) -> &[u8] {
        self.chunk.name(self.name_at, self.name_len)
    }

    pub(crate) fn name(&self) -> &OsStr {
        let name = OsStr::from_bytes(self.name_bytes());
        match &self.chunk.dir {
            Some(_) => name,
            // The root's own is the last of the path that was given, if that ends in one.
            None => Path::new(name).file_name().unwrap_or(name),
        }
    }

    /// Zero for the root.
    pub(crate) fn depth(&self) -> usize {
        self.chunk.depth()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.chunk.path(self.name_bytes())
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.type_bits == kind::DIRECTORY
    }
}

/// What a walk was doing.
///
/// See [`WalkError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum WalkCall {
    /// It copied an entry, in a copy of a tree.
    Copy,
    /// It made a directory of a copy, `mkdirat(2)`.
    Enter,
    /// It waited for something to do.
    Idle,
    /// It gave a directory of a copy its metadata.
    Leave,
    /// It listed a directory, `getdents64(2)`.
    List,
    /// It opened a directory, `openat(2)`.
    Open,
    /// It began, or asked for a thread.
    Start,
    /// It asked for attributes, `statx(2)`.
    Stat,
    /// It was in the caller's own closure.
    Visit,
}

impl WalkCall {
    /// Its name, as in messages.
    ///
    /// See [`WalkError`].
    pub fn name(self) -> &'static str {
        match self {
            WalkCall::Copy => "copy",
            WalkCall::Enter => "mkdirat",
            WalkCall::Idle => "idle",
            WalkCall::Leave => "fchmod",
            WalkCall::List => "getdents",
            WalkCall::Open => "openat",
            WalkCall::Start => "start",
            WalkCall::Stat => "statx",
            WalkCall::Visit => "visit",
        }
    }
}

impl fmt::Display for WalkCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that a walk could not see: an entry of which nothing else is told, or a directory of which not all is.
///
/// The walk goes on unless [`is_fatal`](WalkError::is_fatal) says otherwise.
///
/// ```
/// # #[tokio::main] async fn main() {
/// use futures::StreamExt;
/// use tidegate::fs::{WalkCall, WalkDir};
/// let mut walk = WalkDir::new("/no/such/tree").walk();
/// let error = walk.next().await.unwrap().unwrap_err();
/// assert_eq!((error.path().to_str(), error.call()), (Some("/no/such/tree"), WalkCall::Stat));
/// assert_eq!((error.kind(), error.depth()), (std::io::ErrorKind::NotFound, 0));
/// assert!(error.is_fatal() && !error.is_soft() && !error.is_timeout() && !error.is_loop());
/// assert!(!error.is_directory_lost());
/// # }
/// ```
#[derive(Debug)]
pub struct WalkError {
    pub(crate) path: PathBuf,
    pub(crate) depth: usize,
    pub(crate) call: WalkCall,
    pub(crate) source: io::Error,
    pub(crate) fatal: bool,
    pub(crate) loops: bool,
}

impl WalkError {
    /// What it is about.
    ///
    /// See [`WalkError`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far below the root that is.
    ///
    /// See [`WalkError`].
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// What the walk was doing.
    ///
    /// See [`WalkError`].
    pub fn call(&self) -> WalkCall {
        self.call
    }

    /// The kind of the error.
    ///
    /// See [`WalkError`].
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// The system's error.
    ///
    /// See [`WalkError`].
    pub fn io_error(&self) -> &io::Error {
        &self.source
    }

    /// The same, by value.
    ///
    /// See [`WalkError`].
    pub fn into_io_error(self) -> io::Error {
        self.source
    }

    /// Whether the walk ended with it: it could not begin, or cannot go on.
    ///
    /// See [`WalkError`].
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }

    /// Whether a program that goes through a tree had better note it and go on: it vanished, nobody may look at it, its
    /// disk is bad there, it did not answer in time, or it leads back to where the walk came from. Everything else says
    /// something of the machine or of the program, such as too many open files.
    ///
    /// See [`WalkError`].
    pub fn is_soft(&self) -> bool {
        !self.fatal && (self.loops || is_soft(&self.source))
    }

    /// Whether it did not answer in time.
    ///
    /// See [`WalkError`].
    pub fn is_timeout(&self) -> bool {
        self.kind() == io::ErrorKind::TimedOut
    }

    /// Whether it is a link to a directory that the walk is in.
    ///
    /// See [`WalkError`].
    pub fn is_loop(&self) -> bool {
        self.loops
    }

    /// Whether a directory was found, and not all of what is in it was.
    ///
    /// See [`WalkError`].
    pub fn is_directory_lost(&self) -> bool {
        matches!(self.call, WalkCall::List | WalkCall::Open)
    }
}

/// What belongs to one file or directory, and not to the program.
fn is_soft(error: &io::Error) -> bool {
    use io::ErrorKind;
    let by_kind = matches!(
        error.kind(),
        ErrorKind::NotADirectory
            | ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::StaleNetworkFileHandle
            | ErrorKind::TimedOut
    );
    by_kind || errno::is_of_one_file(error)
}

impl fmt::Display for WalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.call, self.path.display(), self.source)
    }
}

impl StdError for WalkError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

/// It keeps the kind, and is its source.
///
/// See [`WalkError`].
impl From<WalkError> for io::Error {
    fn from(error: WalkError) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}

macro_rules! numbers {
    ($( $(#[$doc:meta])* $name:ident, )*) => {
        /// What a walk has come to so far.
        ///
        /// See [`Walk::stats`](crate::fs::Walk::stats).
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct WalkStats { $( $(#[$doc])* pub $name: u64, )* }

        impl WalkStats {
            pub(super) fn add(&mut self, more: &WalkStats) {
                $( self.$name += more.$name; )*
            }
        }

        #[derive(Default)]
        pub(super) struct Numbers {
            $( pub(super) $name: AtomicU64, )*
            handle: OnceLock<SharedCounters>,
        }

        impl Numbers {
            /// Entries count for the handle as well, which tells of them in its heartbeats.
            pub(super) fn of_handle(&self, counters: SharedCounters) {
                let _ = self.handle.set(counters);
            }

            pub(super) fn add(&self, more: &WalkStats) {
                if let Some(counters) = self.handle.get().filter(|_| more.entries != 0) {
                    counters.walked(more.entries);
                }
                $( if more.$name != 0 { self.$name.fetch_add(more.$name, Ordering::Relaxed); } )*
            }

            pub(super) fn told(&self) -> WalkStats {
                WalkStats { $( $name: self.$name.load(Ordering::Relaxed), )* }
            }
        }
    };
}

numbers! {
    /// Entries that were found, of whatever kind, whether or not they were handed out.
    entries,
    /// Of them, directories.
    directories,
    /// Of them, regular files.
    files,
    /// Of them, symbolic links that were not followed.
    symlinks,
    /// Of them, everything else.
    others,
    /// Directories that were opened.
    opened,
    /// Directories that were opened once more, because too many were open.
    reopened,
    /// Directories of which not all was seen.
    lost_directories,
    /// Names of files that had been told under another name.
    repeated_links,
    /// Places where another filesystem is mounted, and that were left out.
    mount_points,
    /// Errors, of each kind.
    errors,
    /// Of them, calls that did not end in time.
    timeouts,
    /// Calls that took so long that another thread took over.
    taken_over,
}

/// Whether it is no more than a thread that could not be had.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    matches!(
        Error::from_io(error),
        Some(Error::MountUnresponsive { .. } | Error::Saturated { .. } | Error::Thread { .. })
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What belongs to one file is soft, everything else is not; of a walk that ended nothing is.
    #[test]
    fn errors_are_soft_or_not() {
        let of = |source, fatal| WalkError {
            path: "x".into(),
            depth: 1,
            call: WalkCall::Open,
            source,
            fatal,
            loops: false,
        };
        let ended = io::Error::from_raw_os_error(3);
        assert!(of(ended, false).is_soft(), "a process that has ended");
        for number in [errno::EACCES, errno::EIO, errno::EPERM, errno::ENAMETOOLONG] {
            let error = || io::Error::from_raw_os_error(number);
            assert!(of(error(), false).is_soft(), "{}", error());
            assert!(!of(error(), true).is_soft());
        }
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::TimedOut] {
            assert!(of(kind.into(), false).is_soft());
        }
        for number in [errno::EMFILE, errno::ENOMEM, errno::EINVAL] {
            let error = io::Error::from_raw_os_error(number);
            assert!(!of(error, false).is_soft());
        }
        // The same number is "try again" elsewhere.
        let waits = io::Error::from_raw_os_error(11);
        assert_eq!(of(waits, false).is_soft(), cfg!(target_os = "macos"));
    }
}
