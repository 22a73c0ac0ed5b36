//! Directories on the way of a walk, and their descriptors, of which only so many are open at a time.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::found::Found;
use crate::base::errno;
use crate::base::lock::lock;
use crate::limits;
use crate::sys::walking::{self, Reach, Times};

pub(crate) use crate::sys::walking::Id;

/// A directory that is known, whether or not it is open.
pub(crate) struct Node {
    pub(crate) parent: Option<Arc<Node>>,
    /// In its parent; of the root, the path that was given.
    pub(crate) name: CString,
    /// That of its entries.
    pub(crate) depth: usize,
    /// How long its path is.
    pub(crate) path_bytes: usize,
    /// What it was when it was opened.
    pub(crate) id: OnceLock<Id>,
    /// When it had been changed by then.
    pub(crate) times: OnceLock<Times>,
    /// What goes with it on the other side, in a copy.
    pub(crate) twin: OnceLock<Use>,
    /// Whether its descriptor is kept until it is left.
    is_kept: AtomicBool,
    /// Whether it was made by this walk, nobody else has been let in, and it has nothing to hand down to what is made in it.
    pub(crate) is_private: AtomicBool,
    /// Whether its filesystem is known to answer by itself, in a walk that does something.
    pub(crate) is_local: AtomicBool,
    fd: Mutex<Option<Arc<OwnedFd>>>,
    /// Who will need the descriptor: its own listing, and directories in it that are not open yet.
    users: AtomicUsize,
    /// Where its listing goes on, as its descriptor may be another one by then; less than zero before it began.
    pub(super) position: AtomicI64,
    /// Whether its files are asked for in the order of their inodes.
    pub(super) by_inode: OnceLock<bool>,
    /// What is not over: its own listing, and directories in it.
    pub(super) left: AtomicUsize,
    /// Its own entry, where that comes after what is in it.
    pub(super) held: Mutex<Option<Found>>,
}

impl Node {
    pub(crate) fn new(parent: Option<Arc<Node>>, name: &CStr, depth: usize) -> Arc<Node> {
        let above = parent.as_ref().map_or(0, |parent| parent.path_bytes + 1);
        Arc::new(Node {
            path_bytes: above + name.count_bytes(),
            twin: OnceLock::new(),
            is_kept: AtomicBool::new(false),
            is_private: AtomicBool::new(false),
            is_local: AtomicBool::new(false),
            parent,
            name: name.to_owned(),
            depth,
            id: OnceLock::new(),
            times: OnceLock::new(),
            fd: Mutex::new(None),
            users: AtomicUsize::new(0),
            position: AtomicI64::new(-1),
            by_inode: OnceLock::new(),
            left: AtomicUsize::new(1),
            held: Mutex::new(None),
        })
    }

    /// The path: that of the root as it was given, and the names.
    pub(crate) fn path(&self) -> PathBuf {
        self.path_with_room(0)
    }

    fn path_with_room(&self, room: usize) -> PathBuf {
        let mut names = Vec::with_capacity(self.depth + 1);
        names.push(&self.name);
        let mut at = self;
        while let Some(parent) = &at.parent {
            names.push(&parent.name);
            at = parent;
        }
        let mut path = PathBuf::with_capacity(self.path_bytes + 1 + room);
        for name in names.into_iter().rev() {
            push(&mut path, name);
        }
        // Only a walk that does something begins above its root, and that in the working directory is not named.
        if at.depth == 0 && at.name.as_c_str() == c"." {
            return path.strip_prefix(".").map_or(path.clone(), PathBuf::from);
        }
        path
    }

    /// The path of what is in it.
    pub(crate) fn path_of(&self, name: &CStr) -> PathBuf {
        let mut path = self.path_with_room(name.count_bytes());
        push(&mut path, name);
        path
    }

    /// The same of an entry that was listed.
    pub(super) fn path_to(&self, name: &OsStr) -> PathBuf {
        let mut path = self.path_with_room(name.len());
        path.push(name);
        path
    }

    /// Whether none of its names is known yet.
    pub(super) fn is_unlisted(&self) -> bool {
        self.position.load(Ordering::Acquire) < 0
    }

    /// The nearest directory above, or this one, that is this file.
    pub(crate) fn above_that_is(&self, id: Id) -> Option<&Node> {
        let mut at = Some(self);
        while let Some(node) = at {
            if node.id.get() == Some(&id) {
                return Some(node);
            }
            at = node.parent.as_deref();
        }
        None
    }
}

/// What a walk begins with may be called as the directory that it is in.
fn push(path: &mut PathBuf, name: &CStr) {
    if name != c"." || path.as_os_str().is_empty() {
        path.push(OsStr::from_bytes(name.to_bytes()));
    }
}

/// A long chain is let go of one by one, and not by a call in a call.
impl Drop for Node {
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut node) = next.and_then(Arc::into_inner) {
            next = node.parent.take();
        }
    }
}

/// Keeps a directory's descriptor for as long as somebody will need it.
pub(crate) struct Use {
    pub(crate) node: Arc<Node>,
    files: Arc<Files>,
}

impl Clone for Use {
    fn clone(&self) -> Use {
        self.files.hold(&self.node)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if self.node.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.files.close(&self.node);
        }
    }
}

/// The descriptors of a walk.
pub(crate) struct Files {
    reach: Reach,
    /// Called with each that is opened.
    opens: Option<fn(BorrowedFd<'_>)>,
    open_max: usize,
    open: AtomicUsize,
    reopened: AtomicU64,
    /// Those that were opened, the oldest first, with some that are closed again.
    opened: Mutex<std::collections::VecDeque<Arc<Node>>>,
}

impl Files {
    pub(crate) fn new(reach: Reach) -> Arc<Files> {
        Files::with(reach, None)
    }

    /// The same, and each that is opened is shown.
    pub(crate) fn with(reach: Reach, opens: Option<fn(BorrowedFd<'_>)>) -> Arc<Files> {
        let allowed = crate::base::limit::open_files().unwrap_or(limits::WALK_OPEN_MAX as u64);
        Arc::new(Files {
            reach,
            opens,
            open_max: limits::WALK_OPEN_MAX.min((allowed / 8).max(2) as usize),
            open: AtomicUsize::new(0),
            reopened: AtomicU64::new(0),
            opened: Mutex::default(),
        })
    }

    /// Keeps its descriptor until it is let go of.
    pub(crate) fn keep(&self, node: &Node) {
        if !node.is_kept.swap(true, Ordering::AcqRel) {
            node.users.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// See [`keep`](Files::keep).
    pub(super) fn let_go(&self, node: &Node) {
        let was_kept = node.is_kept.swap(false, Ordering::AcqRel);
        if was_kept && node.users.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close(node);
        }
    }

    pub(crate) fn hold(self: &Arc<Self>, node: &Arc<Node>) -> Use {
        node.users.fetch_add(1, Ordering::AcqRel);
        Use {
            node: node.clone(),
            files: self.clone(),
        }
    }

    fn close(&self, node: &Node) {
        if lock(&node.fd).take().is_some() {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Notes a descriptor, and closes those that will be needed last where there are too many.
    fn note(&self, node: &Arc<Node>, fd: &Arc<OwnedFd>) {
        if lock(&node.fd).replace(fd.clone()).is_none() {
            self.open.fetch_add(1, Ordering::Relaxed);
        }
        let mut opened = lock(&self.opened);
        opened.push_back(node.clone());
        let mut dropped = Vec::new();
        if opened.len() > 2 * self.open_max {
            let (open, closed) = std::mem::take(&mut *opened)
                .into_iter()
                .partition(|node| lock(&node.fd).is_some());
            *opened = open;
            dropped = Vec::from_iter::<std::collections::VecDeque<_>>(closed);
        }
        while self.open.load(Ordering::Relaxed) > self.open_max {
            // The root is how all others are found again.
            match opened.pop_front() {
                Some(node) if node.parent.is_none() => continue,
                Some(node) => {
                    self.close(&node);
                    dropped.push(node);
                }
                None => break,
            }
        }
        drop(opened);
        drop(dropped);
    }

    /// Closes the one that will be needed last, where descriptors are short; whether there was any.
    pub(crate) fn spare_one(&self) -> bool {
        let mut opened = lock(&self.opened);
        let mut dropped = Vec::new();
        let mut spared = false;
        while let Some(node) = opened.pop_front() {
            spared = lock(&node.fd).is_some();
            self.close(&node);
            dropped.push(node);
            if spared {
                break;
            }
        }
        drop(opened);
        spared
    }

    /// The descriptor of a directory, opened if it is not open.
    pub(crate) fn of(&self, node: &Arc<Node>) -> io::Result<Arc<OwnedFd>> {
        self.sparing(|| self.open(node))
    }

    /// A call that needs a descriptor, again while others can be done without.
    pub(super) fn sparing<T>(&self, call: impl Fn() -> io::Result<T>) -> io::Result<T> {
        loop {
            match call() {
                Err(error) if errno::is_out_of_descriptors(&error) && self.spare_one() => {}
                called => return called,
            }
        }
    }

    /// How many threads there are descriptors for: each has some in use that nobody can spare.
    pub(super) fn threads_max(&self) -> usize {
        self.open_max
    }

    fn open(&self, node: &Arc<Node>) -> io::Result<Arc<OwnedFd>> {
        if let Some(fd) = &*lock(&node.fd) {
            return Ok(fd.clone());
        }
        // From the nearest one above that is open.
        let mut closed = vec![node];
        let mut at = node;
        let mut from = None;
        while let Some(parent) = &at.parent {
            from = lock(&parent.fd).clone();
            if from.is_some() {
                break;
            }
            closed.push(parent);
            at = parent;
        }
        while let Some(node) = closed.pop() {
            let reach = Reach {
                follow: self.reach.follow || node.parent.is_none(),
                same_mount: self.reach.same_mount && node.parent.is_some(),
            };
            let fd = match &from {
                Some(dir) => walking::open_dir(dir.as_fd(), &node.name, reach)?,
                None => walking::open_dir(walking::HERE, &node.name, reach)?,
            };
            if let Some(opens) = self.opens {
                opens(fd.as_fd());
            }
            let (id, times) = walking::seen_of(fd.as_fd())?;
            node.times.get_or_init(|| times);
            if node.id.get().is_some() {
                self.reopened.fetch_add(1, Ordering::Relaxed);
            }
            if *node.id.get_or_init(|| id) != id {
                // Another one has its name now, and its own is not known.
                return Err(io::ErrorKind::StaleNetworkFileHandle.into());
            }
            let fd = Arc::new(fd);
            if closed.len() < self.open_max / 2 {
                self.note(node, &fd);
                // It is only on the way, or was let go of meanwhile: nobody would close it.
                if node.users.load(Ordering::Acquire) == 0 {
                    self.close(node);
                }
            }
            from = Some(fd);
        }
        from.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// How often a directory was opened once more.
    pub(super) fn reopened(&self) -> u64 {
        self.reopened.load(Ordering::Relaxed)
    }

    /// Closes all of them.
    pub(super) fn close_all(&self) {
        for node in std::mem::take(&mut *lock(&self.opened)) {
            self.close(&node);
        }
    }
}
