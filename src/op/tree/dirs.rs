//! Directories of a copy: made before their entries, and finished after them.

use std::fs::Metadata;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::actor::TreeActor;
use crate::base::errno;
use crate::limits;
use crate::op::copy::Warning;
use crate::op::walk::{Node, Pulse, Use};
use crate::sys::copy_at;
use crate::sys::walking;

/// What of its metadata could not be carried over, and what speaks against all of it being there.
pub(super) type Finished = (Vec<Warning>, io::Result<()>);

impl TreeActor {
    /// Makes the destination's directory, and opens it.
    pub(super) fn make_dir(&self, node: &Arc<Node>, pulse: Pulse<'_>) -> Result<Use, io::Error> {
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
        let is_new = !self.request.makes_nothing() && copy_at::make_dir(dir.as_fd(), name)?;
        let twin = Node::new(Some(above.node.clone()), name, node.depth);
        let held = self.files.hold(&twin);
        let mut opened = self.files.of(&twin);
        if matches!(&opened, Err(error) if error.raw_os_error() == Some(errno::EACCES))
            && !self.request.makes_nothing()
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
        if is_new {
            twin.is_private
                .store(copy_at::is_private(opened.as_fd()), Ordering::Release);
        } else {
            self.check_dir(node, &twin, &opened)?;
            self.left.find(self, &twin, &opened, None, pulse);
        }
        Ok(held)
    }

    /// What was there has to be another directory than its source, and open for its owner.
    fn check_dir(&self, node: &Node, twin: &Node, opened: &OwnedFd) -> io::Result<()> {
        if twin.id.get() == node.id.get() {
            let text = "the destination is the source itself; choose another destination";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if self.is_root || self.request.makes_nothing() {
            return Ok(());
        }
        let there = walking::stat_open(opened.as_fd())?;
        if there.mode & 0o700 != 0o700 {
            copy_at::let_in_open(opened.as_fd(), &there)?;
        }
        Ok(())
    }

    /// Metadata of a directory that is full, and whether all that was in it can have been seen.
    pub(super) fn finish_dir(&self, node: &Arc<Node>, source: &OwnedFd) -> io::Result<Finished> {
        let twin = node.twin.get().ok_or(io::ErrorKind::NotFound)?;
        let to = self.files.of(&twin.node)?;
        self.left.clear(&twin.node, to.as_fd());
        twin.node.is_private.store(false, Ordering::Release);
        let before: Metadata = copy_at::metadata(source.as_fd())?;
        let preserve = self.request.file.preserve;
        let warnings = copy_at::finish_dir(source.as_fd(), &before, to.as_fd(), preserve)?;
        if self.request.sync_names {
            copy_at::sync_dir(to.as_fd())?;
            if let Some(above) = twin.node.parent.as_ref().filter(|_| node.depth == 1) {
                copy_at::sync_dir(self.files.of(above)?.as_fd())?;
            }
        }
        Ok((warnings, self.check_unchanged(node, &before, source)))
    }

    /// Fails where names may have come, gone or moved while they were listed and copied. The root of the walk is only where
    /// the name of the source is.
    fn check_unchanged(&self, node: &Node, now: &Metadata, source: &OwnedFd) -> io::Result<()> {
        let was = node.times.get().copied();
        if was.is_none_or(|was| was == copy_at::times_of(now))
            || copy_at::is_made_up(source.as_fd())
        {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "the directory was changed while it was copied; copy it again",
        ))
    }

    /// The same of one that could not be opened.
    pub(super) fn finish_unopened(
        &self,
        node: &Node,
        above: Option<&OwnedFd>,
    ) -> io::Result<Finished> {
        let twin = node.twin.get().ok_or(io::ErrorKind::NotFound)?;
        let to = self.files.of(&twin.node)?;
        let above = above.ok_or(io::ErrorKind::NotFound)?.as_fd();
        let preserve = self.request.file.preserve;
        let warnings = copy_at::finish_unopened((above, &node.name), to.as_fd(), preserve)?;
        Ok((warnings, Ok(())))
    }
}
