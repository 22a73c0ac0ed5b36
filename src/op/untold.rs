//! Failed writebacks that the kernel told here, and of which nobody has been told since. It tells each once: whoever
//! opens the file later would hear of it, had nobody asked. So he hears of it all the same.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::global::Global;
use crate::base::lock::lock;
use crate::limits;
use crate::sys::stat::{Stamp, Stat};

/// What tells a file from all others, also from a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    dev: u64,
    ino: u64,
    created: Stamp,
}

impl Identity {
    /// That of a regular file of which so much is known.
    pub(super) fn of(stat: &Stat) -> Option<Identity> {
        let created = stat.created.filter(|_| stat.is_file() && stat.ino != 0)?;
        Some(Identity {
            dev: stat.dev,
            ino: stat.ino,
            created,
        })
    }
}

#[derive(Default)]
struct Untold {
    /// How many there are, to be read without the lock.
    count: AtomicUsize,
    errors: Mutex<VecDeque<(Identity, i32)>>,
}

static UNTOLD: Global<Untold> = Global::new();

/// Nobody has been told of this yet.
pub(super) fn note(file: Identity, number: i32) {
    let untold = UNTOLD.get_or_make(Untold::default);
    let mut errors = lock(&untold.errors);
    if errors.iter().any(|(known, _)| *known == file) {
        return;
    }
    if errors.len() >= limits::UNTOLD_MAX {
        errors.pop_front();
    }
    errors.push_back((file, number));
    untold.count.store(errors.len(), Ordering::SeqCst);
}

/// Somebody has been told.
pub(super) fn told(file: Identity) {
    let untold = UNTOLD.get();
    let Some(untold) = untold.filter(|untold| untold.count.load(Ordering::SeqCst) > 0) else {
        return;
    };
    let mut errors = lock(&untold.errors);
    errors.retain(|(known, _)| *known != file);
    untold.count.store(errors.len(), Ordering::SeqCst);
}

/// What whoever opens the file is to be told.
pub(super) fn of(stat: &Stat) -> Option<i32> {
    let untold = UNTOLD.get()?;
    if untold.count.load(Ordering::SeqCst) == 0 {
        return None;
    }
    let file = Identity::of(stat)?;
    let errors = lock(&untold.errors);
    let known = errors.iter().find(|(known, _)| *known == file);
    known.map(|(_, number)| *number)
}
