//! A walk through a tree: threads that take directories off one stack, and a caller who takes what they find.
//!
//! A thread works in one hop for as long as there is something to do. What it is at is published, so that whoever
//! looks from outside can name it, and can give the rest of its work to another thread when a call does not come back.
//! `docs/design/walking.md` says why it is so.

mod acting;
mod board;
mod found;
mod hop;
mod node;
mod rows;
mod task;
mod visits;
mod walking;
mod worker;

use std::collections::HashSet;
use std::ffi::CString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

pub(crate) use acting::{Actor, Place, Pulse, Told, Waiting};
pub(crate) use found::Found;
pub use found::{WalkCall, WalkError, WalkStats};
pub(crate) use node::{Files, Id, Node, Use};
pub(crate) use walking::Walking;

use crate::base::clock::coarse_ms;
use crate::base::lock::lock;
use crate::sys::stat::How;
use board::Board;
use found::Numbers;
use visits::Visits;
use worker::Worker;

/// In which order entries are told.
///
/// See [`WalkDir::sort`](crate::fs::WalkDir::sort).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WalkSort {
    /// In no order that anybody promises. On ext4, XFS and their kin attributes are asked for in the order of the
    /// inodes, which moves the heads of a disk less.
    #[default]
    Auto,
    /// Each part of a directory that is listed at once by inode, wherever it is.
    Inode,
    /// Depth first, and each directory by the bytes of its names: the same tree is always told in the same order. One
    /// thread walks, and the names of each directory on the way are in memory.
    Name,
    /// As the filesystem lists it.
    None,
}

/// What a walk is to do.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Which attributes to ask for, if any.
    pub(crate) how: Option<How>,
    pub(crate) min_depth: usize,
    pub(crate) max_depth: usize,
    pub(crate) follow: bool,
    pub(crate) same_mount: bool,
    pub(crate) contents_first: bool,
    pub(crate) sort: WalkSort,
    pub(crate) links_once: bool,
    pub(crate) threads: Option<usize>,
    /// How long a call may take; as the handle has it for metadata if nothing is said.
    pub(crate) timeout: Option<Duration>,
}

impl Default for Options {
    /// All that is in a tree, without attributes.
    fn default() -> Options {
        Options {
            how: None,
            min_depth: 0,
            max_depth: usize::MAX,
            follow: false,
            same_mount: false,
            contents_first: false,
            sort: WalkSort::Auto,
            links_once: false,
            threads: None,
            timeout: None,
        }
    }
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enter {
    /// It is told.
    pub(crate) keep: bool,
    /// If it is a directory, what is in it is looked at.
    pub(crate) descend: bool,
}

type Choose = Box<dyn Fn(Found) -> (Found, Enter) + Send + Sync>;
type Make<T> = Box<dyn Fn(Found) -> Option<T> + Send + Sync>;

/// What the caller makes of entries, on the walking threads.
pub(crate) struct Visitor<T> {
    pub(crate) choose: Option<Choose>,
    pub(crate) make: Make<T>,
    /// Whether that runs anything of the caller's, which may take its time.
    pub(crate) is_foreign: bool,
    /// What is done to entries, where they are not looked at alone.
    pub(crate) actor: Option<Arc<dyn Actor<T>>>,
}

/// What the caller and the threads of a walk share.
pub(crate) struct Shared<T> {
    options: Options,
    visitor: Visitor<T>,
    root: CString,
    files: Arc<Files>,
    board: Mutex<Board<T>>,
    /// Threads wait here for something to do.
    bell: Condvar,
    stop: AtomicBool,
    numbers: Numbers,
    /// Files with several names that were told.
    links: Mutex<HashSet<Id>>,
    /// What threads have before them that are in a closure of the caller's.
    visits: Mutex<Vec<Arc<Visits<T>>>>,
    workers: Mutex<Vec<Arc<Worker>>>,
    /// Names that a thread takes at a time.
    chunk: AtomicUsize,
    /// Threads that may work at a time.
    threads: AtomicUsize,
    /// Threads from which others took over, and that hand over what they came back with.
    late: AtomicUsize,
    began_ms: u64,
}

/// What a thread of a walk is at.
///
/// See [`WalkWatch`](crate::fs::WalkWatch).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalkNow {
    /// The file or directory.
    pub path: PathBuf,
    /// What is done with it.
    pub call: WalkCall,
    /// How long ago that began.
    pub still_for: Duration,
}

/// A walk, seen from outside.
pub(crate) trait Watched: Send + Sync {
    fn stats(&self) -> WalkStats;
    /// What its threads are at, what takes longest first.
    fn now(&self) -> Vec<WalkNow>;
    /// How long ago it began.
    fn age(&self) -> Duration;
    fn is_over(&self) -> bool;
}

impl<T> Shared<T> {
    fn wants_sorted_names(&self) -> bool {
        self.options.sort == WalkSort::Name
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl<T: Send> Watched for Shared<T> {
    fn stats(&self) -> WalkStats {
        let mut stats = self.numbers.told();
        stats.reopened = self.files.reopened();
        stats
    }

    fn now(&self) -> Vec<WalkNow> {
        let workers = lock(&self.workers).clone();
        let mut now: Vec<_> = workers.iter().filter_map(|worker| worker.now()).collect();
        now.sort_by_key(|now| std::cmp::Reverse(now.still_for));
        now
    }

    fn age(&self) -> Duration {
        Duration::from_millis(coarse_ms().saturating_sub(self.began_ms))
    }

    fn is_over(&self) -> bool {
        self.is_stopped() || lock(&self.board).is_over
    }
}
