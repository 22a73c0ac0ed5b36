//! What a thread does with an entry of the tree.

use std::ffi::{CStr, CString};
use std::fs::Metadata;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use super::links::{Claim, Links, Made};
use super::temporaries::Temporaries;
use super::{TreeCopied, TreeError, TreeEvent, TreeKind, TreeRequest};
use crate::limits;
use crate::op::copy::{CopyRequest, Warning};
use crate::op::statx::Statx;
use crate::op::walk::{Actor, Files, Id, Node, Place, Pulse, Told, Use, Waiting, WalkCall};
use crate::opcode::Kind;
use crate::sys::copy::{self, Copied, Flow, Sides};
use crate::sys::copy_at::{self, Twin};
use crate::sys::errno;
use crate::sys::lock::{lock, wait_timeout};
use crate::sys::path::{as_path, c_path};
use crate::sys::stat::{How, Stat, kind};
use crate::sys::walking::{self, Names, Reach};

/// One copy, for its threads.
pub(super) struct TreeActor {
    request: TreeRequest,
    /// Its name in the directory where the walk begins.
    name: CString,
    /// The directory that the copy gets its name in, and the name.
    into: CString,
    into_name: CString,
    files: Arc<Files>,
    links: Links,
    temporaries: Arc<Temporaries>,
    is_root: bool,
    /// The destination's own directory, which is not copied into itself.
    made_root: OnceLock<Id>,
    /// The filesystem of the source.
    device: OnceLock<u64>,
}

/// A failure, and what was done.
type Failed = (&'static str, io::Error);

impl TreeActor {
    pub(super) fn new(
        request: TreeRequest,
        name: PathBuf,
        temporaries: Arc<Temporaries>,
    ) -> TreeActor {
        let (into, into_name) = super::split(&request.file.to);
        // What is no path fails where it is used, and is told.
        let c = |path: &Path| c_path(path).unwrap_or_default();
        TreeActor {
            name: c(&name),
            into: c(&into),
            into_name: c(&into_name),
            request,
            files: Files::new(Reach::NAME),
            links: Links::default(),
            temporaries,
            is_root: crate::sys::copy_at::is_root(),
            made_root: OnceLock::new(),
            device: OnceLock::new(),
        }
    }

    /// The destination's name of an entry.
    fn name_of<'a>(&'a self, dir: &Node, name: &'a CStr) -> &'a CStr {
        match dir.parent {
            Some(_) => name,
            None => &self.into_name,
        }
    }

    fn is_stopped(&self) -> bool {
        let stop = self.request.stop.as_deref();
        stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Tries again while others have the descriptors that it needs.
    fn patiently<T>(
        &self,
        pulse: Pulse<'_>,
        mut step: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut tries = 1;
        loop {
            match step() {
                Err(error)
                    if errno::is_out_of_descriptors(&error)
                        && tries < limits::COPY_TREE_TRIES_MAX
                        && pulse.steps.go_on() =>
                {
                    tries += 1;
                    if !self.files.spare_one() {
                        // Nobody rings: it is the time that passes.
                        let (bell, quiet) = (std::sync::Condvar::new(), Mutex::new(()));
                        drop(wait_timeout(
                            &bell,
                            lock(&quiet),
                            limits::COPY_TREE_TRY_EVERY,
                        ));
                    }
                }
                result => return result,
            }
        }
    }

    /// Makes the destination's directory, and opens it.
    fn make_dir(&self, node: &Arc<Node>) -> Result<Use, io::Error> {
        let Some((above, parent)) = node
            .parent
            .as_ref()
            .and_then(|parent| Some((parent.twin.get()?, parent)))
        else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let name = self.name_of(parent, &node.name);
        if above.node.path_bytes + 1 + name.count_bytes() >= limits::PATH_BYTES {
            return Err(io::Error::from_raw_os_error(errno::ENAMETOOLONG));
        }
        let dir = self.files.of(&above.node)?;
        let is_new = !self.request.dry_run && copy_at::make_dir(dir.as_fd(), name)?;
        let twin = Node::new(Some(above.node.clone()), name, node.depth);
        let held = self.files.hold(&twin);
        let mut opened = self.files.of(&twin);
        if matches!(&opened, Err(error) if error.raw_os_error() == Some(errno::EACCES))
            && !self.request.dry_run
            && !self.is_root
        {
            copy_at::let_in(dir.as_fd(), name)?;
            opened = self.files.of(&twin);
        }
        let opened = opened.map_err(|error| match error.raw_os_error() {
            Some(errno) if copy_at::is_no_dir(errno) => {
                io::Error::from_raw_os_error(copy_at::EXISTS)
            }
            _ => error,
        })?;
        if !is_new {
            self.check_dir(node, &twin, &opened)?;
        }
        Ok(held)
    }

    /// What was there has to be another directory than its source, and open for its owner.
    fn check_dir(&self, node: &Node, twin: &Node, opened: &OwnedFd) -> io::Result<()> {
        if twin.id.get() == node.id.get() {
            let text = "the destination is the source itself; choose another destination";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if self.is_root || self.request.dry_run {
            return Ok(());
        }
        let there = walking::stat_open(opened.as_fd())?;
        if there.mode & 0o700 != 0o700 {
            copy_at::let_in_open(opened.as_fd(), &there)?;
        }
        Ok(())
    }

    fn fail(&self, told: &mut Told<TreeEvent>, path: PathBuf, (operation, error): Failed) {
        told.items.push(TreeEvent::Failed(TreeError {
            path,
            operation,
            error,
        }));
    }

    /// Whether what is there stays.
    fn stays(&self, to: BorrowedFd<'_>, name: &CStr, found: &Stat) -> bool {
        let Some(keep) = &self.request.keep else {
            return false;
        };
        let there = walking::stat(to, name, Reach::NAME, How::default());
        there.is_ok_and(|there| keep(&Statx(found.clone()), &Statx(there)))
    }

    /// Copies what is no directory; what it is there.
    fn copy(
        &self,
        place: &Place<'_>,
        to: BorrowedFd<'_>,
        found: &Stat,
        told: &mut Told<TreeEvent>,
    ) -> Option<Id> {
        let name = place.name().name;
        let into = self.name_of(&place.dir.node, name);
        let path = || place.dir.node.path_of(name);
        let (kind, operation) = match found.type_bits() {
            kind::FILE => (TreeKind::File, "copy"),
            kind::SYMLINK => (TreeKind::Symlink, "symlink"),
            kind::FIFO => (TreeKind::Fifo, "make_fifo"),
            _ => {
                let what = match found.type_bits() {
                    kind::SOCKET => "a socket, which belongs to the program that listens on it,",
                    kind::BLOCK => "a block device",
                    kind::CHARACTER => "a character device",
                    _ => "a file of unknown type",
                };
                let error = io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!("skipped: {what} cannot be copied"),
                );
                self.fail(told, path(), ("copy", error));
                return None;
            }
        };
        place.pulse.at(WalkCall::Copy);
        let made = self.patiently(place.pulse, || self.copy_one(place, to, into, kind));
        match made {
            Ok(copied) => {
                told.items.push(TreeEvent::Copied(TreeCopied {
                    path: path(),
                    kind,
                    bytes: copied.bytes,
                    data_bytes: copied.data_bytes,
                    warnings: copied.warnings,
                }));
                Some(copied.id)
            }
            Err(_) if self.is_stopped() => None,
            // Somebody was faster.
            Err(error)
                if self.request.file.create_new && error.kind() == io::ErrorKind::AlreadyExists =>
            {
                told.items.push(TreeEvent::Kept(path()));
                None
            }
            Err(error) => {
                self.fail(told, path(), (operation, error));
                None
            }
        }
    }

    fn copy_one(
        &self,
        place: &Place<'_>,
        to: BorrowedFd<'_>,
        into: &CStr,
        kind: TreeKind,
    ) -> io::Result<Copied> {
        let temporary = self.temporary(place)?;
        let name = place.name().name;
        let made = match kind {
            TreeKind::File => {
                let request = CopyRequest {
                    from: as_path(name).to_path_buf(),
                    to: as_path(into).to_path_buf(),
                    temporary: Some(temporary.clone()),
                    ..self.request.file.clone()
                };
                let flow = Flow {
                    steps: place.pulse.steps,
                    stop: self.request.stop.as_deref(),
                    progress: self.request.progress.as_deref(),
                    pulse: Some(place.pulse.since_ms()),
                };
                let sides = Sides { from: place.fd, to };
                copy::copy_file_at(&request, sides, &flow).map_err(|failed| failed.error)
            }
            _ => self.copy_named(place, to, into, &temporary, kind),
        };
        self.forget(to, &temporary, made.is_ok());
        if self.request.sync_names && made.is_ok() && place.dir.node.parent.is_none() {
            copy_at::sync_dir(to)?;
        }
        made
    }

    /// Copies a link or a FIFO.
    fn copy_named(
        &self,
        place: &Place<'_>,
        to: BorrowedFd<'_>,
        into: &CStr,
        temporary: &Path,
        kind: TreeKind,
    ) -> io::Result<Copied> {
        let twin = Twin {
            from: place.fd,
            from_name: place.name().name,
            to,
            name: into,
            temporary,
            create_new: self.request.file.create_new,
        };
        let preserve = self.request.file.preserve;
        let warnings = match kind {
            TreeKind::Fifo => copy_at::copy_fifo(twin, preserve)?,
            _ => copy_at::copy_link(twin, preserve)?,
        };
        let made = walking::stat(to, into, Reach::NAME, How::default());
        Ok(Copied {
            warnings,
            id: made.map_or((0, 0), |made| (made.dev, made.ino)),
            ..Copied::default()
        })
    }

    fn temporary(&self, place: &Place<'_>) -> io::Result<PathBuf> {
        let twin = place.dir.node.twin.get().ok_or(io::ErrorKind::NotFound)?;
        Ok(self.temporaries.name(&Arc::new(twin.clone()), &self.files))
    }

    /// It is gone, as a rule. Where it cannot be removed, the end tries again and names it.
    fn forget(&self, to: BorrowedFd<'_>, temporary: &Path, is_gone: bool) {
        let removed = || match copy_at::remove(to, &c_path(temporary)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        if is_gone || removed().is_ok() {
            self.temporaries.gone(temporary);
        }
    }

    /// Gives a file that was copied one more name. Where that cannot be, it is copied again.
    fn link(&self, place: &Place<'_>, to: BorrowedFd<'_>, made: &Made) -> io::Result<()> {
        let name = place.name().name;
        let temporary = self.temporary(place)?;
        let dir = self.files.of(&made.dir.node)?;
        let twin = Twin {
            from: place.fd,
            from_name: name,
            to,
            name: self.name_of(&place.dir.node, name),
            temporary: &temporary,
            create_new: self.request.file.create_new,
        };
        let linked = copy_at::link((dir.as_fd(), &made.name), made.id, twin);
        self.forget(to, &temporary, linked.is_ok());
        linked
    }

    fn act_on(
        &self,
        place: &Place<'_>,
        found: &Stat,
        told: &mut Told<TreeEvent>,
    ) -> io::Result<()> {
        let name = place.name().name;
        let path = || place.dir.node.path_of(name);
        let into = self.name_of(&place.dir.node, name);
        let twin = match place.dir.node.twin.get() {
            Some(twin) => Some(self.files.of(&twin.node)?),
            None => None,
        };
        let stays = |twin: &Arc<OwnedFd>| self.stays(twin.as_fd(), into, found);
        if twin.as_ref().is_some_and(stays) {
            told.items.push(TreeEvent::Kept(path()));
            return Ok(());
        }
        if self.request.dry_run {
            told.items.push(TreeEvent::Planned(path()));
            return Ok(());
        }
        let Some(to) = twin else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let to = to.as_fd();
        if found.nlink < 2 {
            self.copy(place, to, found, told);
            return Ok(());
        }
        let id = (found.dev, found.ino);
        match self.links.claim(id, found.nlink, place) {
            Claim::Waits => {}
            Claim::First => {
                let made = self.copy(place, to, found, told);
                let made = made.and_then(|id| {
                    let dir = place.dir.node.twin.get()?;
                    let (dir, name) = (Arc::new(dir.clone()), into.to_owned());
                    Some(Made { dir, name, id })
                });
                told.again = self.links.made(id, made);
            }
            Claim::Link(made) => {
                place.pulse.at(WalkCall::Copy);
                if self.link(place, to, &made).is_err() {
                    // Too many links, or another filesystem below the destination: a file of its own is whole too.
                    self.copy(place, to, found, told);
                    return Ok(());
                }
                told.items.push(TreeEvent::Copied(TreeCopied {
                    path: path(),
                    kind: TreeKind::HardLink,
                    bytes: 0,
                    data_bytes: 0,
                    warnings: Vec::new(),
                }));
            }
        }
        Ok(())
    }

    fn is_left_out(&self, dir: &Node, name: &CStr) -> bool {
        let (Some(exclude), Some(_)) = (&self.request.exclude, &dir.parent) else {
            return false;
        };
        let mut names = vec![name];
        let mut at = dir;
        while let Some(parent) = &at.parent {
            if parent.parent.is_some() {
                names.push(&at.name);
            }
            at = parent;
        }
        let below: PathBuf = names.into_iter().rev().map(as_path).collect();
        exclude(&below)
    }

    /// Metadata of a directory that is full.
    fn finish_dir(&self, node: &Arc<Node>, source: &OwnedFd) -> io::Result<Vec<Warning>> {
        let twin = node.twin.get().ok_or(io::ErrorKind::NotFound)?;
        let to = self.files.of(&twin.node)?;
        let before: Metadata = copy_at::metadata(source.as_fd())?;
        let preserve = self.request.file.preserve;
        let warnings = copy_at::finish_dir(source.as_fd(), &before, to.as_fd(), preserve)?;
        if self.request.sync_names {
            copy_at::sync_dir(to.as_fd())?;
            if let Some(above) = twin.node.parent.as_ref().filter(|_| node.depth == 1) {
                copy_at::sync_dir(self.files.of(above)?.as_fd())?;
            }
        }
        Ok(warnings)
    }
}

impl Actor<TreeEvent> for TreeActor {
    fn kind(&self) -> Kind {
        Kind::CopyFile
    }

    fn first(&self) -> Names {
        Names::one(&self.name)
    }

    fn begin(&self, root: &Arc<Node>) -> io::Result<()> {
        let twin = Node::new(None, &self.into, 0);
        let held = self.files.hold(&twin);
        match self.files.of(&twin) {
            // Nothing is made there.
            Err(_) if self.request.dry_run => return Ok(()),
            opened => drop(opened?),
        }
        let _ = root.twin.set(held);
        Ok(())
    }

    fn enter(&self, node: &Arc<Node>, pulse: Pulse<'_>, told: &mut Told<TreeEvent>) -> bool {
        if self.is_stopped() {
            return false;
        }
        pulse.at(WalkCall::Enter);
        let id = node.id.get().copied().unwrap_or_default();
        if self.made_root.get() == Some(&id) {
            let text = "the destination is inside of the source, and is not copied into itself";
            let error = io::Error::new(io::ErrorKind::InvalidInput, text);
            self.fail(told, node.path(), ("copy", error));
            return false;
        }
        match self.patiently(pulse, || self.make_dir(node)) {
            Ok(twin) => {
                if node.depth == 1 {
                    let id = twin.node.id.get().copied();
                    let _ = self.made_root.set(id.unwrap_or_default());
                }
                let _ = node.twin.set(twin);
            }
            Err(_) if self.request.dry_run => {}
            Err(error) => {
                self.fail(told, node.path(), ("create_dir", error));
                return false;
            }
        }
        if self.request.dry_run {
            told.items.push(TreeEvent::Planned(node.path()));
        }
        let device = *self.device.get_or_init(|| id.0);
        !(self.request.one_file_system && device != id.0)
    }

    fn act(&self, place: &Place<'_>, told: &mut Told<TreeEvent>) {
        let name = place.name().name;
        if self.is_stopped() || self.is_left_out(&place.dir.node, name) {
            return;
        }
        let found = match walking::stat(place.fd, name, Reach::NAME, How::default()) {
            Ok(found) => found,
            Err(error) => {
                let path = place.dir.node.path_of(name);
                return self.fail(told, path, ("metadata", error));
            }
        };
        if found.is_dir() {
            told.descends = true;
            return;
        }
        if let Err(error) = self.act_on(place, &found, told) {
            let path = place.dir.node.path_of(name);
            self.fail(told, path, ("copy", error));
        }
    }

    fn leave(
        &self,
        node: &Arc<Node>,
        source: io::Result<Arc<OwnedFd>>,
        pulse: Pulse<'_>,
        told: &mut Told<TreeEvent>,
    ) {
        if node.twin.get().is_none() || self.request.dry_run || self.is_stopped() {
            return;
        }
        if node.id.get().is_none() {
            // It could never be opened, as was told: what was made for it stays its user's own.
            return;
        }
        pulse.at(WalkCall::Leave);
        let left =
            source.and_then(|source| self.patiently(pulse, || self.finish_dir(node, &source)));
        match left {
            Ok(warnings) => told.items.push(TreeEvent::Copied(TreeCopied {
                path: node.path(),
                kind: TreeKind::Directory,
                bytes: 0,
                data_bytes: 0,
                warnings,
            })),
            Err(error) => self.fail(told, node.path(), ("copy_metadata", error)),
        }
    }

    fn gave_up(&self, dir: &Arc<Node>, index: usize) -> Vec<Waiting> {
        self.links.gave_up(dir, index)
    }
}
