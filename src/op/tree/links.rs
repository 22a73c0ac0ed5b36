//! Which files have been met under several names: they are copied once and linked after that.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex};

use crate::base::lock::lock;
use crate::op::walk::{Id, Node, Place, Use, Waiting};

/// The files with several names of which not all have been met.
#[derive(Default)]
pub(super) struct Links {
    files: Mutex<HashMap<Id, File>>,
}

struct File {
    state: State,
    /// Names that have not been met.
    left: u64,
}

enum State {
    /// Under this name of that directory; others wait for it.
    Copying {
        dir: Arc<Node>,
        index: usize,
        waiting: Vec<Waiting>,
    },
    Made(Made),
}

/// Where a file was copied to, and what it is there.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) dir: Arc<Use>,
    pub(super) name: CString,
    pub(super) id: Id,
}

/// What is to be done about a name.
pub(super) enum Claim {
    /// It is the first: copy it, then call [`Links::made`].
    First,
    /// The file is here.
    Link(Made),
    /// The first is being copied; [`Links::made`] hands this one back.
    Waits,
}

impl Links {
    pub(super) fn claim(&self, id: Id, names: u64, place: &Place<'_>) -> Claim {
        let mut files = lock(&self.files);
        let Some(file) = files.get_mut(&id) else {
            let state = State::Copying {
                dir: place.dir.node.clone(),
                index: place.index,
                waiting: Vec::new(),
            };
            let left = names - 1;
            files.insert(id, File { state, left });
            return Claim::First;
        };
        match &mut file.state {
            State::Copying { waiting, .. } => {
                waiting.push(place.waiting());
                Claim::Waits
            }
            State::Made(made) => {
                let made = made.clone();
                file.left = file.left.saturating_sub(1);
                if file.left == 0 {
                    files.remove(&id);
                }
                Claim::Link(made)
            }
        }
    }

    /// The first was copied, or could not be; returns the names that waited for it.
    pub(super) fn made(&self, id: Id, made: Option<Made>) -> Vec<Waiting> {
        let mut files = lock(&self.files);
        let Some(file) = files.remove(&id) else {
            return Vec::new();
        };
        // Where the first failed, the next one to come tries anew.
        let (waiting, left) = match file.state {
            State::Copying { waiting, .. } => (waiting, file.left),
            State::Made(_) => (Vec::new(), file.left),
        };
        if let Some(made) = made {
            let state = State::Made(made);
            files.insert(id, File { state, left });
        }
        waiting
    }

    /// The first did not come to an end in time; returns the names that waited for it.
    pub(super) fn gave_up(&self, dir: &Arc<Node>, index: usize) -> Vec<Waiting> {
        let is_it = |file: &File| match &file.state {
            State::Copying {
                dir: of, index: at, ..
            } => Arc::ptr_eq(of, dir) && *at == index,
            State::Made(_) => false,
        };
        let id = {
            let files = lock(&self.files);
            files
                .iter()
                .find(|(_, file)| is_it(file))
                .map(|(id, _)| *id)
        };
        id.map_or(Vec::new(), |id| self.made(id, None))
    }
}
