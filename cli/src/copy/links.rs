//! Which files have been met under several names: they are copied once and linked after that.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::walk::Task;

/// Device and inode.
type Id = (u64, u64);

/// The files with several names of which not all have been met.
#[derive(Debug, Default)]
pub(super) struct Links {
    files: Mutex<HashMap<Id, File>>,
}

#[derive(Debug)]
struct File {
    state: State,
    /// Names that have not been met.
    left: u64,
}

#[derive(Debug)]
enum State {
    Copying { waiting: Vec<Task> },
    Made(PathBuf),
}

/// What is to be done about a name.
#[derive(Debug)]
pub(super) enum Claim {
    /// It is the first: copy it, then call [`Links::made`].
    First,
    /// The file is here.
    Link(PathBuf),
    /// The first is being copied; [`Links::made`] hands this one back.
    Waits,
}

impl Links {
    pub(super) fn claim(&self, id: Id, names: u64, task: &Task) -> Claim {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = files.get_mut(&id) else {
            files.insert(
                id,
                File {
                    state: State::Copying {
                        waiting: Vec::new(),
                    },
                    left: names - 1,
                },
            );
            return Claim::First;
        };
        match &mut file.state {
            State::Copying { waiting } => {
                waiting.push(task.clone());
                Claim::Waits
            }
            State::Made(path) => {
                let path = path.clone();
                file.left -= 1;
                if file.left == 0 {
                    files.remove(&id);
                }
                Claim::Link(path)
            }
        }
    }

    /// The first was copied to `path`, or could not be; returns the names that waited for it.
    pub(super) fn made(&self, id: Id, path: Option<PathBuf>) -> Vec<Task> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut file) = files.remove(&id) else {
            return Vec::new();
        };
        let waiting = match &mut file.state {
            State::Copying { waiting } => std::mem::take(waiting),
            State::Made(_) => Vec::new(),
        };
        // Where the first failed, the next one to come tries anew.
        if let Some(path) = path {
            files.insert(
                id,
                File {
                    state: State::Made(path),
                    left: file.left,
                },
            );
        }
        waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str) -> Task {
        Task {
            parent: None,
            source: name.into(),
            destination: name.into(),
        }
    }

    /// Names that come while the first is copied wait for it, and nothing is kept after the last.
    #[test]
    fn names_wait_for_the_first_and_are_forgotten_after_the_last() {
        let links = Links::default();
        assert!(matches!(links.claim((1, 1), 3, &task("a")), Claim::First));
        assert!(matches!(links.claim((1, 1), 3, &task("b")), Claim::Waits));
        assert_eq!(links.made((1, 1), Some("a".into())).len(), 1);
        assert!(
            matches!(links.claim((1, 1), 3, &task("b")), Claim::Link(path) if path.as_os_str() == "a")
        );
        assert!(matches!(links.claim((1, 1), 3, &task("c")), Claim::Link(_)));
        assert!(links.files.lock().unwrap().is_empty());
    }

    /// Where the first cannot be copied, the next is the first.
    #[test]
    fn after_a_failure_the_next_name_is_the_first() {
        let links = Links::default();
        assert!(matches!(links.claim((1, 1), 2, &task("a")), Claim::First));
        assert!(matches!(links.claim((1, 1), 2, &task("b")), Claim::Waits));
        assert_eq!(links.made((1, 1), None).len(), 1);
        assert!(matches!(links.claim((1, 1), 2, &task("b")), Claim::First));
    }
}
