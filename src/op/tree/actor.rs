//! What a thread does with an entry of the tree.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use super::left::Left;
use super::links::{Claim, Links, Made};
use super::temporaries::Temporaries;
use super::verify::Twins;
use super::{TreeCopied, TreeError, TreeEvent, TreeKind, TreeRequest};
use crate::base::errno;
use crate::base::lock::{lock, wait_timeout};
use crate::error::Error;
use crate::limits;
use crate::op::copy::{Sync, Warning};
use crate::op::statx::Statx;
use crate::op::walk::{Actor, Files, Id, Node, Place, Pulse, Told, Waiting, WalkCall};
use crate::opcode::Kind;
use crate::sys::copy::{self, Copied, Flow, Sides, Source};
use crate::sys::copy_at::{self, Twin};
use crate::sys::copy_left;
use crate::sys::copy_temp::REMOVE;
use crate::sys::path::{as_path, c_path};
use crate::sys::stat::{How, Stat, kind};
use crate::sys::walking::{self, Names, Reach};

/// One copy, for its threads.
pub(super) struct TreeActor {
    pub(super) request: TreeRequest,
    /// Its name in the directory where the walk begins.
    name: CString,
    /// The directory that the copy gets its name in, and the name.
    into: CString,
    into_name: CString,
    pub(super) files: Arc<Files>,
    pub(super) links: Links,
    pub(super) temporaries: Arc<Temporaries>,
    pub(super) left: Left,
    pub(super) twins: Twins,
    pub(super) is_root: bool,
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
        let works_in: fn(BorrowedFd<'_>) = copy_left::work_in;
        let works_in = (!request.makes_nothing()).then_some(works_in);
        TreeActor {
            name: c(&name),
            into: c(&into),
            into_name: c(&into_name),
            request,
            files: Files::with(Reach::NAME, works_in),
            links: Links::default(),
            left: Left::default(),
            twins: Twins::default(),
            temporaries,
            is_root: crate::sys::copy_at::is_root(),
            made_root: OnceLock::new(),
            device: OnceLock::new(),
        }
    }

    /// The destination's name of an entry.
    pub(super) fn name_of<'a>(&'a self, dir: &Node, name: &'a CStr) -> &'a CStr {
        match dir.parent {
            Some(_) => name,
            None => &self.into_name,
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        let stop = self.request.stop.as_deref();
        stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Tries again while others have the descriptors that it needs.
    pub(super) fn patiently<T>(
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

    pub(super) fn fail(
        &self,
        told: &mut Told<TreeEvent>,
        path: PathBuf,
        (operation, error): Failed,
    ) {
        told.items.push(TreeEvent::Failed(TreeError {
            path,
            operation,
            error,
        }));
    }

    /// Whether what is there stays.
    fn stays(&self, to: BorrowedFd<'_>, name: &CStr, found: &Stat) -> io::Result<bool> {
        let Some(keep) = &self.request.keep else {
            return Ok(false);
        };
        match walking::stat(to, name, Reach::NAME, How::default()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            there => Ok(keep(&Statx(found.clone()), &Statx(there?))),
        }
    }

    /// Copies what is no directory; what it is there.
    fn copy(
        &self,
        place: &Place<'_>,
        to: BorrowedFd<'_>,
        (found, mut source): (&Stat, Option<Source>),
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
        if kind == TreeKind::File && self.request.resume {
            if let Some(id) = self.is_whole(place, to, into, found) {
                told.items.push(TreeEvent::Kept(path()));
                return Some(id);
            }
        }
        let made = self.patiently(place.pulse, || {
            self.copy_one(place, to, into, (kind, source.take()))
        });
        match made {
            Ok(copied) => {
                told.items.push(TreeEvent::Copied(TreeCopied {
                    bytes: copied.bytes,
                    data_bytes: copied.data_bytes,
                    reused_bytes: copied.reused_bytes,
                    warnings: copied.warnings,
                    ..TreeCopied::of(path(), kind)
                }));
                Some(copied.id)
            }
            Err(_) if self.is_stopped() => None,
            // Somebody was faster.
            Err(error)
                if self.request.file.create_new
                    && error.kind() == io::ErrorKind::AlreadyExists
                    && walking::stat(to, into, Reach::NAME, How::default()).is_ok() =>
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

    /// How a file in work is stopped and watched.
    pub(super) fn flow<'a>(&'a self, pulse: Pulse<'a>) -> Flow<'a> {
        Flow {
            steps: pulse.steps,
            stop: self.request.stop.as_deref(),
            progress: self.request.progress.as_deref(),
            pulse: Some(pulse.since_ms()),
        }
    }

    fn copy_one(
        &self,
        place: &Place<'_>,
        to: BorrowedFd<'_>,
        into: &CStr,
        (kind, source): (TreeKind, Option<Source>),
    ) -> io::Result<Copied> {
        let made = match kind {
            TreeKind::File => self.copy_file(place, to, into, source),
            _ => {
                let temporary = self.temporary(place)?;
                let made = self.copy_named(place, to, into, &temporary, kind);
                self.forget(
                    to,
                    &temporary,
                    made.as_ref().ok().map(|made| &made.warnings),
                );
                made
            }
        };
        if self.request.sync_names && made.is_ok() && place.dir.node.parent.is_none() {
            copy_at::sync_dir(to)?;
        }
        made
    }

    fn copy_file(
        &self,
        place: &Place<'_>,
        to: BorrowedFd<'_>,
        into: &CStr,
        source: Option<Source>,
    ) -> io::Result<Copied> {
        let twin = place.dir.node.twin.get().ok_or(io::ErrorKind::NotFound)?;
        let (file, flow) = (&self.request.file, self.flow(place.pulse));
        let from = (place.fd, as_path(place.name().name));
        let source = match source {
            Some(source) => source,
            None => {
                flow.check()?;
                Source::open(from.0, from.1, file)?
            }
        };
        let mut sides = Sides {
            to: (to, as_path(into)),
            temporary: (to, None),
            reuse: false,
            is_private: twin.node.is_private.load(Ordering::Acquire),
        };
        // What is to be synced is synced under a name.
        if sides.is_private && source.is_one_step() && file.sync == Sync::No {
            if let Some(made) = copy::copy_unnamed_at(file, sides, &source, &flow) {
                return made.map_err(|failed| failed.error);
            }
            // What does not work for one works for none, as a rule.
            twin.node.is_private.store(false, Ordering::Release);
            sides.is_private = false;
        }
        let temporary = self.temporary(place)?;
        sides.temporary = (to, Some(&temporary));
        sides.reuse = self.left.take(place, to, into, &temporary);
        let made = copy::copy_file_at(file, sides, &source, &flow);
        self.forget(
            to,
            &temporary,
            made.as_ref().ok().map(|made| &made.warnings),
        );
        made.map_err(|failed| failed.error)
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

    pub(super) fn temporary(&self, place: &Place<'_>) -> io::Result<PathBuf> {
        let twin = place.dir.node.twin.get().ok_or(io::ErrorKind::NotFound)?;
        let of = self.name_of(&place.dir.node, place.name().name);
        let twin = Arc::new(twin.clone());
        Ok(self.temporaries.name(&twin, &self.files, of))
    }

    /// It is gone where all was made without a warning of it, and else removed, as a rule. Where it cannot be, the end tries
    /// again and names it.
    fn forget(&self, to: BorrowedFd<'_>, temporary: &Path, made: Option<&Vec<Warning>>) {
        let stays = |(operation, _): &Warning| *operation == REMOVE;
        let is_gone = made.is_some_and(|warnings| !warnings.iter().any(stays));
        let removed = || copy_at::remove_if_there(to, &c_path(temporary)?);
        if is_gone || removed().is_ok() {
            self.temporaries.gone(temporary);
        }
    }

    /// Gives a file that was copied one more name. Where that cannot be, it is copied again.
    fn link(&self, place: &Place<'_>, to: BorrowedFd<'_>, made: &Made) -> io::Result<Vec<Warning>> {
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
        self.forget(to, &temporary, linked.as_ref().ok());
        linked
    }

    fn act_on(
        &self,
        place: &Place<'_>,
        (found, source): (&Stat, Option<Source>),
        told: &mut Told<TreeEvent>,
    ) -> io::Result<()> {
        let name = place.name().name;
        let path = || place.dir.node.path_of(name);
        let into = self.name_of(&place.dir.node, name);
        let twin = match place.dir.node.twin.get() {
            Some(twin) => Some(self.files.of(&twin.node)?),
            None => None,
        };
        if let (true, Some(to)) = (self.request.verify, &twin) {
            self.verify_entry(place, (to.as_fd(), into), found, told);
            return Ok(());
        }
        let stays = |twin: &Arc<OwnedFd>| self.stays(twin.as_fd(), into, found);
        if twin.as_ref().map(stays).transpose()? == Some(true) {
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
            self.copy(place, to, (found, source), told);
            return Ok(());
        }
        let id = (found.dev, found.ino);
        match self.links.claim(id, found.nlink, place) {
            Claim::Waits => {}
            Claim::First => {
                let made = self.copy(place, to, (found, source), told);
                let made = made.and_then(|id| {
                    let dir = place.dir.node.twin.get()?;
                    let (dir, name) = (Arc::new(dir.clone()), into.to_owned());
                    Some(Made { dir, name, id })
                });
                told.again = self.links.made(id, made);
            }
            Claim::Link(made) => {
                place.pulse.at(WalkCall::Copy);
                let Ok(warnings) = self.link(place, to, &made) else {
                    // Too many links, or another filesystem below the destination: a file of its own is whole too.
                    self.copy(place, to, (found, source), told);
                    return Ok(());
                };
                told.items.push(TreeEvent::Copied(TreeCopied {
                    warnings,
                    ..TreeCopied::of(path(), TreeKind::HardLink)
                }));
            }
        }
        Ok(())
    }

    /// Opens what is listed as a file, and is looked at by that, unless it may be left alone for what it is. Where that does
    /// not work out, to look at it tells why. A server is asked one thing at a time, so that it is known what it does not answer.
    fn open_source(&self, place: &Place<'_>) -> Option<Source> {
        let name = place.name();
        let is_file = name.type_bits == Some(kind::FILE);
        let is_wanted = self.request.keep.is_none() && !self.request.makes_nothing();
        if !is_file || !is_wanted || !place.dir.node.is_local.load(Ordering::Relaxed) {
            return None;
        }
        place.pulse.at(WalkCall::Copy);
        let opened = Source::open(place.fd, as_path(name.name), &self.request.file).ok();
        place.pulse.at(WalkCall::Stat);
        opened
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
}

impl Actor<TreeEvent> for TreeActor {
    fn kind(&self) -> Kind {
        Kind::CopyFile
    }

    fn first(&self) -> Names {
        Names::one(&self.name)
    }

    fn begin(&self, root: &Arc<Node>, pulse: Pulse<'_>) -> io::Result<()> {
        let twin = Node::new(None, &self.into, 0);
        let held = self.files.hold(&twin);
        match self.files.of(&twin) {
            // Nothing is made there.
            Err(_) if self.request.dry_run => return Ok(()),
            opened => drop(opened?),
        }
        if let (Ok(opened), false) = (self.files.of(&twin), self.request.makes_nothing()) {
            let name = as_path(&self.into_name).as_os_str();
            self.left.find(self, &twin, &opened, Some(name), pulse);
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
        match self.patiently(pulse, || self.make_dir(node, pulse)) {
            Ok(twin) => {
                if node.depth == 1 {
                    let id = twin.node.id.get().copied();
                    let _ = self.made_root.set(id.unwrap_or_default());
                }
                let _ = node.twin.set(twin);
            }
            Err(_) if self.request.dry_run => {}
            Err(error) => {
                let operation = match self.request.verify {
                    true => "verify",
                    false => "create_dir",
                };
                self.fail(told, node.path(), (operation, error));
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
        let source = self.open_source(place);
        let found = match &source {
            Some(source) => Ok(source.stat()),
            None => walking::stat(place.fd, name, Reach::NAME, How::default()),
        };
        let found = match found {
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
        if let Err(error) = self.act_on(place, (&found, source), told) {
            let path = place.dir.node.path_of(name);
            self.fail(told, path, ("copy", error));
        }
        if self.request.resume && place.dir.node.parent.is_none() {
            self.tell_left(told);
        }
    }

    fn leave(
        &self,
        node: &Arc<Node>,
        source: io::Result<Arc<OwnedFd>>,
        above: Option<Arc<OwnedFd>>,
        pulse: Pulse<'_>,
        told: &mut Told<TreeEvent>,
    ) {
        if node.twin.get().is_none() || self.request.dry_run || self.is_stopped() {
            return;
        }
        pulse.at(WalkCall::Leave);
        if self.request.verify {
            return self.verify_dir(node, source, told);
        }
        let left = self.patiently(pulse, || match (&source, node.id.get()) {
            (Ok(source), _) => self.finish_dir(node, source),
            // It could never be opened, as was told.
            (Err(_), None) => self.finish_unopened(node, above.as_deref()),
            (Err(error), Some(_)) => Err(Error::same(error)),
        });
        if self.request.resume {
            self.tell_left(told);
        }
        if node.id.get().is_none() {
            if let Err(error) = left {
                self.fail(told, node.path(), ("copy_metadata", error));
            }
            return;
        }
        match left {
            Ok((warnings, all)) => {
                told.items.push(TreeEvent::Copied(TreeCopied {
                    warnings,
                    ..TreeCopied::of(node.path(), TreeKind::Directory)
                }));
                if let Err(error) = all {
                    self.fail(told, node.path(), ("read_dir", error));
                }
            }
            Err(error) => self.fail(told, node.path(), ("copy_metadata", error)),
        }
    }

    fn gave_up(&self, dir: &Arc<Node>, index: usize) -> Vec<Waiting> {
        self.links.gave_up(dir, index)
    }
}
