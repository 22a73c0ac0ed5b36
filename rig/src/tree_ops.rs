//! What the requests on a stalled tree do: each on the file behind it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo, TimeOrNow};

use crate::error::Context;

/// A file the kernel knows: an `O_PATH` descriptor, so that renames and unlinks do not matter.
struct Node {
    fd: Arc<File>,
    path: String,
    key: (u64, u64),
    lookups: u64,
}

#[derive(Default)]
struct Nodes {
    by_ino: HashMap<u64, Node>,
    by_key: HashMap<(u64, u64), u64>,
    last: u64,
}

/// The entries of a directory at the moment it was opened.
pub(crate) type Listing = Arc<Vec<(INodeNo, FileType, OsString)>>;

pub(crate) enum Opened {
    Dir(Listing),
    File(Arc<File>),
}

/// The tree behind the mount.
pub(crate) struct Tree {
    nodes: Mutex<Nodes>,
    open: Mutex<(u64, HashMap<u64, Opened>)>,
}

/// Attributes to set; `None` leaves one as it is.
pub(crate) struct Change {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) len_bytes: Option<u64>,
    pub(crate) atime: Option<TimeOrNow>,
    pub(crate) mtime: Option<TimeOrNow>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stale() -> io::Error {
    io::Error::from_raw_os_error(libc::ESTALE)
}

/// The path of an open file, whatever its name is now.
fn proc_path(fd: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn open_path(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
        .open(path)
}

fn child(parent: &str, name: &OsStr) -> String {
    format!(
        "{}/{}",
        if parent == "/" { "" } else { parent },
        name.to_string_lossy()
    )
}

impl Tree {
    pub(crate) fn new(root: &Path) -> io::Result<Tree> {
        let fd = open_path(root).context("open the directory behind the tree")?;
        let metadata = fd.metadata()?;
        let key = (metadata.dev(), metadata.ino());
        let node = Node {
            fd: Arc::new(fd),
            path: "/".to_owned(),
            key,
            lookups: 1,
        };
        let mut nodes = Nodes {
            last: INodeNo::ROOT.0,
            ..Nodes::default()
        };
        nodes.by_ino.insert(INodeNo::ROOT.0, node);
        nodes.by_key.insert(key, INodeNo::ROOT.0);
        Ok(Tree {
            nodes: Mutex::new(nodes),
            open: Mutex::default(),
        })
    }

    /// The path in the tree, for the rules.
    pub(crate) fn path(&self, ino: INodeNo) -> String {
        lock(&self.nodes)
            .by_ino
            .get(&ino.0)
            .map_or_else(String::new, |node| node.path.clone())
    }

    pub(crate) fn child_path(&self, parent: INodeNo, name: &OsStr) -> String {
        child(&self.path(parent), name)
    }

    fn fd(&self, ino: INodeNo) -> io::Result<Arc<File>> {
        lock(&self.nodes)
            .by_ino
            .get(&ino.0)
            .map(|node| Arc::clone(&node.fd))
            .ok_or_else(stale)
    }

    /// Runs `work` on the real path of a name; the descriptor in that path stays open meanwhile.
    pub(crate) fn at<T>(
        &self,
        parent: INodeNo,
        name: &OsStr,
        work: impl FnOnce(&Path) -> io::Result<T>,
    ) -> io::Result<T> {
        let fd = self.fd(parent)?;
        work(&proc_path(&fd).join(name))
    }

    pub(crate) fn lookup(&self, parent: INodeNo, name: &OsStr) -> io::Result<FileAttr> {
        let fd = self.at(parent, name, open_path)?;
        let metadata = fd.metadata()?;
        let key = (metadata.dev(), metadata.ino());
        let mut nodes = lock(&self.nodes);
        let path = nodes
            .by_ino
            .get(&parent.0)
            .map(|node| child(&node.path, name))
            .ok_or_else(stale)?;
        let ino = match nodes.by_key.get(&key) {
            Some(&ino) => ino,
            None => {
                nodes.last += 1;
                let ino = nodes.last;
                nodes.by_key.insert(key, ino);
                nodes.by_ino.insert(
                    ino,
                    Node {
                        fd: Arc::new(fd),
                        path,
                        key,
                        lookups: 0,
                    },
                );
                ino
            }
        };
        if let Some(node) = nodes.by_ino.get_mut(&ino) {
            node.lookups += 1;
        }
        Ok(attr(INodeNo(ino), &metadata))
    }

    pub(crate) fn forget(&self, ino: INodeNo, count: u64) {
        let mut nodes = lock(&self.nodes);
        let Some(node) = nodes.by_ino.get_mut(&ino.0) else {
            return;
        };
        node.lookups = node.lookups.saturating_sub(count);
        if node.lookups == 0 && ino != INodeNo::ROOT {
            let key = node.key;
            nodes.by_key.remove(&key);
            nodes.by_ino.remove(&ino.0);
        }
    }

    pub(crate) fn attr(&self, ino: INodeNo) -> io::Result<FileAttr> {
        Ok(attr(ino, &self.fd(ino)?.metadata()?))
    }

    pub(crate) fn change(&self, ino: INodeNo, change: &Change) -> io::Result<FileAttr> {
        let fd = self.fd(ino)?;
        let path = proc_path(&fd);
        if let Some(mode) = change.mode {
            fs::set_permissions(&path, Permissions::from_mode(mode & 0o7777))?;
        }
        if change.uid.is_some() || change.gid.is_some() {
            std::os::unix::fs::chown(&path, change.uid, change.gid)?;
        }
        if let Some(len_bytes) = change.len_bytes {
            OpenOptions::new()
                .write(true)
                .open(&path)?
                .set_len(len_bytes)?;
        }
        if change.atime.is_some() || change.mtime.is_some() {
            let time = |time: TimeOrNow| match time {
                TimeOrNow::SpecificTime(time) => time,
                TimeOrNow::Now => SystemTime::now(),
            };
            let times = FileTimes::new();
            let times = change
                .atime
                .map_or(times, |atime| times.set_accessed(time(atime)));
            let times = change
                .mtime
                .map_or(times, |mtime| times.set_modified(time(mtime)));
            File::open(&path)?.set_times(times)?;
        }
        self.attr(ino)
    }

    pub(crate) fn readlink(&self, ino: INodeNo) -> io::Result<OsString> {
        Ok(nix::fcntl::readlinkat(&*self.fd(ino)?, "")?)
    }

    pub(crate) fn rename(&self, from: (INodeNo, &OsStr), to: (INodeNo, &OsStr)) -> io::Result<()> {
        self.at(from.0, from.1, |old| {
            self.at(to.0, to.1, |new| fs::rename(old, new))
        })?;
        let (old, new) = (self.child_path(from.0, from.1), self.child_path(to.0, to.1));
        for node in lock(&self.nodes).by_ino.values_mut() {
            let rest = node
                .path
                .strip_prefix(&old)
                .filter(|rest| rest.is_empty() || rest.starts_with('/'));
            if let Some(rest) = rest {
                node.path = format!("{new}{rest}");
            }
        }
        Ok(())
    }

    pub(crate) fn link(&self, ino: INodeNo, parent: INodeNo, name: &OsStr) -> io::Result<FileAttr> {
        use nix::fcntl::AtFlags;
        let (fd, dir) = (self.fd(ino)?, self.fd(parent)?);
        nix::unistd::linkat(
            nix::fcntl::AT_FDCWD,
            &proc_path(&fd),
            &*dir,
            name,
            AtFlags::AT_SYMLINK_FOLLOW,
        )?;
        self.lookup(parent, name)
    }

    /// Opens what a node stands for, with the flags of the caller as far as they make sense here.
    pub(crate) fn open(&self, ino: INodeNo, flags: i32) -> io::Result<u64> {
        let fd = self.fd(ino)?;
        let file = open_options(flags).open(proc_path(&fd))?;
        Ok(self.keep(Opened::File(Arc::new(file))))
    }

    pub(crate) fn create(
        &self,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        flags: i32,
    ) -> io::Result<(FileAttr, u64)> {
        let exclusive = flags & libc::O_EXCL != 0;
        let file = self.at(parent, name, |path| {
            let mut options = open_options(flags);
            options
                .write(true)
                .mode(mode)
                .create(!exclusive)
                .create_new(exclusive)
                .open(path)
        })?;
        let attr = self.lookup(parent, name)?;
        Ok((attr, self.keep(Opened::File(Arc::new(file)))))
    }

    pub(crate) fn open_dir(&self, ino: INodeNo) -> io::Result<u64> {
        let fd = self.fd(ino)?;
        // The numbers of entries are only hints; a lookup gives the one that counts.
        let dots = [".", ".."].map(|name| (ino, FileType::Directory, OsString::from(name)));
        let mut listing = Vec::from(dots);
        for entry in fs::read_dir(proc_path(&fd))? {
            let entry = entry?;
            let kind = FileType::from_std(entry.file_type()?).unwrap_or(FileType::RegularFile);
            listing.push((INodeNo(u64::MAX), kind, entry.file_name()));
        }
        Ok(self.keep(Opened::Dir(Arc::new(listing))))
    }

    fn keep(&self, opened: Opened) -> u64 {
        let mut open = lock(&self.open);
        open.0 += 1;
        let handle = open.0;
        open.1.insert(handle, opened);
        handle
    }

    pub(crate) fn close(&self, handle: u64) {
        lock(&self.open).1.remove(&handle);
    }

    pub(crate) fn file(&self, handle: u64) -> io::Result<Arc<File>> {
        match lock(&self.open).1.get(&handle) {
            Some(Opened::File(file)) => Ok(Arc::clone(file)),
            _ => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }

    pub(crate) fn listing(&self, handle: u64) -> io::Result<Listing> {
        match lock(&self.open).1.get(&handle) {
            Some(Opened::Dir(listing)) => Ok(Arc::clone(listing)),
            _ => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }

    pub(crate) fn statfs(&self, ino: INodeNo) -> io::Result<nix::sys::statvfs::Statvfs> {
        Ok(nix::sys::statvfs::statvfs(&proc_path(&*self.fd(ino)?))?)
    }
}

/// The kernel does O_APPEND, O_DIRECT and O_TRUNC above this; the access mode is what remains.
fn open_options(flags: i32) -> OpenOptions {
    let mode = flags & libc::O_ACCMODE;
    let mut options = OpenOptions::new();
    options
        .read(mode != libc::O_WRONLY)
        .write(mode != libc::O_RDONLY);
    options
}

fn attr(ino: INodeNo, metadata: &fs::Metadata) -> FileAttr {
    let time = |secs: i64, nanos: i64| UNIX_EPOCH + Duration::new(secs.max(0) as u64, nanos as u32);
    FileAttr {
        ino,
        size: metadata.size(),
        blocks: metadata.blocks(),
        atime: time(metadata.atime(), metadata.atime_nsec()),
        mtime: time(metadata.mtime(), metadata.mtime_nsec()),
        ctime: time(metadata.ctime(), metadata.ctime_nsec()),
        crtime: UNIX_EPOCH,
        kind: FileType::from_std(metadata.file_type()).unwrap_or(FileType::RegularFile),
        perm: (metadata.mode() & 0o7777) as u16,
        nlink: metadata.nlink() as u32,
        uid: metadata.uid(),
        gid: metadata.gid(),
        rdev: metadata.rdev() as u32,
        blksize: metadata.blksize() as u32,
        flags: 0,
    }
}
