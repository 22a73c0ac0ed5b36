//! The names that unfinished copies have, so that they are removed also where a copy hangs and cannot do it.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::driver::OpExt;
use crate::op::hop::hop;
use crate::op::many::in_order;
use crate::op::walk::{Files, Use};
use crate::opcode::Kind;
use crate::sys::copy_at;
use crate::sys::copy_temp::temp_name;
use crate::sys::lock::lock;
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
    pub(crate) async fn remove_all(self: &Arc<Self>, bound: Duration) -> Vec<PathBuf> {
        let left: Vec<_> = {
            let names = lock(&self.names);
            let each = names.iter();
            each.map(|(name, left)| (name.clone(), left.dir.clone(), left.files.clone()))
                .collect()
        };
        let removals = left.into_iter().map(|(name, dir, files)| async move {
            let path = dir.node.path().join(&name);
            let this = self.clone();
            let removal = hop(Kind::RemoveFile, &path, move |_| {
                let name_in_it = c_path(&name)?;
                let fd = files.of(&dir.node)?;
                match copy_at::remove(std::os::fd::AsFd::as_fd(&fd), &name_in_it) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => this.gone(&name),
                }
                Ok(())
            });
            let left = removal.timeout(bound).await.is_err();
            left.then_some(path)
        });
        let mut left: Vec<_> = in_order(crate::limits::BATCH_IN_FLIGHT, removals)
            .await
            .into_iter()
            .flatten()
            .collect();
        left.sort();
        left
    }
}
