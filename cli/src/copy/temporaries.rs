//! The names that unfinished copies have, so that they are removed also where a copy hangs and cannot do it.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate::{OpExt, fs};
use tokio::task::JoinSet;

/// How long a removal at the end may take: a destination that hangs does not hold up the end.
const REMOVAL_BOUND: Duration = Duration::from_secs(2);

/// The names that may still be there.
#[derive(Debug)]
pub(super) struct Temporaries {
    /// What no other process has in its names.
    seed: u64,
    next: AtomicU64,
    names: Mutex<HashSet<PathBuf>>,
}

impl Default for Temporaries {
    fn default() -> Temporaries {
        Temporaries {
            seed: RandomState::new().hash_one(std::process::id()),
            next: AtomicU64::new(0),
            names: Mutex::default(),
        }
    }
}

impl Temporaries {
    /// A name beside `destination`. It does not contain the destination's, which may be as long as a name can be.
    pub(super) fn beside(&self, destination: &Path) -> PathBuf {
        let (seed, number) = (self.seed, self.next.fetch_add(1, Ordering::Relaxed));
        let name = destination.with_file_name(format!(".tidegate-{seed:016x}-{number:x}.tmp"));
        self.names().insert(name.clone());
        name
    }

    /// Nothing has this name any more.
    pub(super) fn gone(&self, name: &Path) {
        self.names().remove(name);
    }

    /// Removes what has this name, if anything. It may still come: what was given up is tried again at the end.
    pub(super) async fn remove(name: &Path) -> io::Result<()> {
        match fs::remove_file(name).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes all that is left, and returns what could not be removed.
    pub(super) async fn remove_all(self: &Arc<Self>) -> Vec<PathBuf> {
        let names = self.names().clone();
        let mut removals = JoinSet::new();
        for name in names {
            let all = Arc::clone(self);
            removals.spawn(async move {
                if Temporaries::remove(&name)
                    .timeout(REMOVAL_BOUND)
                    .await
                    .is_ok()
                {
                    all.gone(&name);
                }
            });
        }
        removals.join_all().await;
        let mut left: Vec<_> = self.names().iter().cloned().collect();
        left.sort();
        left
    }

    fn names(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is there is removed, what is not is no error, and what cannot be removed is named.
    #[tokio::test]
    async fn what_is_left_is_removed_or_named() {
        let dir = tempfile::tempdir().unwrap();
        let temporaries = Arc::new(Temporaries::default());
        let [made, never_made, done, folder] =
            std::array::from_fn(|_| temporaries.beside(&dir.path().join("file")));
        fs::write(&made, "half").await.unwrap();
        fs::write(&done, "another's").await.unwrap();
        fs::create_dir(&folder).await.unwrap();
        temporaries.gone(&done);
        assert_eq!(temporaries.remove_all().await, [folder]);
        assert!(!made.exists() && !never_made.exists() && done.exists());
    }
}
