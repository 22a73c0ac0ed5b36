//! The names that unfinished copies have, so that they are removed also where a copy hangs and cannot do it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::lock::lock;
use crate::deadline::OpExt;
use crate::op::hop::hop;
use crate::op::many::try_in_order;
use crate::op::walk::{Files, Use};
use crate::opcode::Kind;
use crate::sys::copy_at;
use crate::sys::copy_temp::temp_name;
use crate::sys::path::{as_path, c_path};

/// The names that may still be there, and the directories that they are in.
#[derive(Default)]
pub(crate) struct Temporaries {
    names: Mutex<HashMap<PathBuf, Left>>,
}

struct Left {
    dir: Arc<Use>,
    files: Arc<Files>,
}

/// The path of what could not be removed.
type Removed = Result<Option<PathBuf>, Infallible>;

impl Temporaries {
    /// A name in a directory, for what is to get that name there.
    pub(super) fn name(&self, dir: &Arc<Use>, files: &Arc<Files>, of: &CStr) -> PathBuf {
        let name = PathBuf::from(temp_name(as_path(of).as_os_str()));
        let left = Left {
            dir: dir.clone(),
            files: files.clone(),
        };
        lock(&self.names).insert(name.clone(), left);
        name
    }

    /// Nothing has this name any more.
    pub(super) fn gone(&self, name: &Path) {
        let left = lock(&self.names).remove(name);
        drop(left);
    }

    /// Removes all that is left, within that time; returns what could not be removed.
    pub(crate) fn remove_all(
        self: &Arc<Self>,
        bound: Duration,
    ) -> impl Future<Output = Vec<PathBuf>> + Send + use<> {
        // Boxed, or the compiler does not see that all of it can go to another thread.
        type Removal = Pin<Box<dyn Future<Output = Removed> + Send>>;
        let names = lock(&self.names);
        let removals = names.iter().map(|(name, left)| {
            let (dir, files) = (left.dir.clone(), left.files.clone());
            Box::pin(self.clone().remove(name.clone(), dir, files, bound)) as Removal
        });
        let removals: Vec<_> = removals.collect();
        drop(names);
        async move {
            let removed = try_in_order(crate::limits::BATCH_IN_FLIGHT, removals).await;
            let Ok(removed) = removed;
            let mut left: Vec<_> = removed.into_iter().flatten().collect();
            left.sort();
            left
        }
    }

    /// Removes one; its path if it could not be.
    async fn remove(
        self: Arc<Self>,
        name: PathBuf,
        dir: Arc<Use>,
        files: Arc<Files>,
        bound: Duration,
    ) -> Removed {
        let path = dir.node.path().join(&name);
        let removal = hop(Kind::RemoveFile, &path, move |_| {
            let name_in_it = c_path(&name)?;
            let fd = files.of(&dir.node)?;
            copy_at::remove_later(std::os::fd::AsFd::as_fd(&fd), &name_in_it)?;
            self.gone(&name);
            Ok(())
        });
        let left = removal.timeout(bound).await.is_err();
        Ok(left.then_some(path))
    }
}
