//! What is known of the writes to an open file: whether all are over, and whether one failed that the
//! kernel tells of only once.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use super::close::Uncut;
use super::untold::{self, Identity};
use super::writeback::Bounded;
use crate::base::errno;
use crate::base::lock::lock;
use crate::driver::fence::{Fence, Fenced, Role};
use crate::driver::on_rings::OnRings;
use crate::error::{Error, raw_os_error};
use crate::events;
use crate::opcode::Kind;
use crate::sys::stat::Stat;

/// Whether what was written to a file can be relied on.
///
/// See [`File::state`](crate::fs::File::state).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileState {
    /// Nothing is known to be wrong.
    Healthy,
    /// A write or a sync that nobody waits for any more is not over: it may still take effect.
    Indeterminate,
    /// A write that was accepted, or its writeback, failed. That is told once, so each sync and flush from now on does, until
    /// [`File::acknowledge`](crate::fs::File::acknowledge).
    Poisoned,
}

/// An error that has to be told, again and again.
enum Failure {
    Number(i32),
    /// It has no number, as a write of nothing or a refusal.
    Kind(io::ErrorKind),
}

impl Failure {
    fn error(&self) -> io::Error {
        match *self {
            Failure::Number(number) => io::Error::from_raw_os_error(number),
            Failure::Kind(kind) => kind.into(),
        }
    }
}

struct Poison {
    failure: Failure,
    /// Whether anybody was told.
    told: bool,
    /// Whether a write was told.
    told_a_write: bool,
    /// It came of an open file that is gone or elsewhere, so that it is no answer to a close of this one.
    is_inherited: bool,
}

/// Shared by an open file and its clones.
#[derive(Default)]
pub(crate) struct Health {
    pub(super) uncut: Uncut,
    pub(super) on_rings: Arc<OnRings>,
    pub(super) fence: Arc<Fence>,
    pub(super) bounded: OnceLock<Arc<Bounded>>,
    poison: Mutex<Option<Poison>>,
    /// Which file it is, if that is known.
    file: Option<Identity>,
}

impl Drop for Health {
    fn drop(&mut self) {
        if let Some(Poison {
            failure,
            told: false,
            is_inherited: false,
            ..
        }) = lock(&self.poison).take()
        {
            let error = failure.error();
            // Whoever drops the last reference may not wait for the log.
            events::report(move || events::writeback_failed(&error));
        }
    }
}

impl Health {
    /// Of a file that is opened now. What nobody was told of it is told to this one.
    pub(super) fn of(stat: &Stat) -> Health {
        let inherited = untold::of(stat).map(|number| Poison {
            failure: Failure::Number(number),
            told: false,
            told_a_write: false,
            is_inherited: true,
        });
        let mut health = Health::default();
        (health.poison, health.file) = (Mutex::new(inherited), Identity::of(stat));
        health
    }

    pub(crate) fn state(&self) -> FileState {
        if lock(&self.poison).is_some() {
            FileState::Poisoned
        } else if self.fence.is_up() {
            FileState::Indeterminate
        } else {
            FileState::Healthy
        }
    }

    pub(crate) fn refuse_overlaps(&self, refuse: bool) {
        self.fence.refuse(refuse);
    }

    /// Forgets the error, and returns it.
    pub(crate) fn acknowledge(&self) -> Option<io::Error> {
        let poison = lock(&self.poison).take()?;
        self.is_told();
        Some(poison.failure.error())
    }

    /// What a sync or a flush has to say before anybody is asked: the error that was told, or would have been.
    pub(crate) fn check(&self, operation: Kind) -> io::Result<()> {
        match &mut *lock(&self.poison) {
            None => Ok(()),
            Some(poison) => {
                self.tell(poison);
                let source = poison.failure.error();
                Err(Error::Poisoned { operation, source }.into())
            }
        }
    }

    fn tell(&self, poison: &mut Poison) {
        poison.told = true;
        self.is_told();
    }

    /// Whoever opens the file later is not told.
    fn is_told(&self) {
        if let Some(file) = self.file {
            untold::told(file);
        }
    }

    /// What the next write has to say before anything is written: the first one after a failure is told of it,
    /// whoever else was.
    pub(crate) fn check_write(&self, operation: Kind) -> io::Result<()> {
        match &mut *lock(&self.poison) {
            Some(poison) if !poison.told_a_write => {
                self.tell(poison);
                poison.told_a_write = true;
                let source = poison.failure.error();
                Err(Error::Poisoned { operation, source }.into())
            }
            _ => Ok(()),
        }
    }

    /// What a close has to say: the error of a write-out, of which nobody was told.
    pub(crate) fn check_untold(&self, operation: Kind) -> io::Result<()> {
        match &mut *lock(&self.poison) {
            Some(poison) if !poison.told && !poison.is_inherited => {
                self.tell(poison);
                let source = poison.failure.error();
                Err(Error::Poisoned { operation, source }.into())
            }
            _ => Ok(()),
        }
    }

    /// Whoever waited for a sync hears of its error.
    pub(super) fn told(&self) {
        if let Some(poison) = &mut *lock(&self.poison) {
            self.tell(poison);
        }
    }

    /// Notes the error of a sync, unless it means that nothing was tried.
    pub(super) fn note_sync(&self, number: i32) {
        if ![errno::EBADF, errno::EINVAL, errno::EOPNOTSUPP].contains(&number) {
            if let Some(file) = self.file.filter(|_| Health::is_failure(number)) {
                untold::note(file, number);
            }
            self.note(number);
        }
    }

    /// Notes the error of a write that nobody heard of, unless nothing was tried.
    pub(super) fn note_write(&self, number: i32) {
        self.note(number);
    }

    /// Notes that a write which was accepted was not done, of which whoever has the cursor is told.
    pub(crate) fn note_accepted(&self, error: &io::Error) {
        let failure = match raw_os_error(error) {
            Some(number) => Failure::Number(number),
            None => Failure::Kind(error.kind()),
        };
        self.poison_with(failure, true);
    }

    fn note(&self, number: i32) {
        if Health::is_failure(number) {
            self.poison_with(Failure::Number(number), false);
        }
    }

    /// Whether anything was tried.
    fn is_failure(number: i32) -> bool {
        number > 0 && ![errno::ECANCELED, errno::EINTR].contains(&number)
    }

    /// The first is what counts.
    fn poison_with(&self, failure: Failure, told: bool) {
        lock(&self.poison).get_or_insert(Poison {
            failure,
            told,
            // The next write of the cursor tells its own failure.
            told_a_write: told,
            is_inherited: false,
        });
    }

    /// For an operation that changes these bytes.
    pub(super) fn changes(&self, range: Range<u64>) -> Fenced {
        self.fenced(range, Role::Changes)
    }

    /// For one that its caller takes for done.
    pub(super) fn accepts(&self, range: Range<u64>) -> Fenced {
        self.fenced(range, Role::Accepted)
    }

    /// For an operation that has to come after the writes before it.
    pub(super) fn follows(&self) -> Fenced {
        self.fenced(0..u64::MAX, Role::Follows)
    }

    /// The same for one that reports failed writebacks.
    pub(super) fn reports(&self) -> Fenced {
        self.fenced(0..u64::MAX, Role::Reports)
    }

    /// For what says of a sync that it was one.
    pub(super) fn confirms(&self) -> Fenced {
        self.fenced(0..u64::MAX, Role::Confirms)
    }

    /// For an operation that looks at these bytes, and sees what was accepted before it.
    pub(super) fn looks(&self, range: Range<u64>) -> Fenced {
        self.fenced(range, Role::Looks)
    }

    /// For one that looks at all of the file, or at its length.
    pub(super) fn looks_at_all(&self) -> Fenced {
        self.looks(0..u64::MAX)
    }

    fn fenced(&self, range: Range<u64>, role: Role) -> Fenced {
        let fence = self.fence.clone();
        Fenced { fence, range, role }
    }
}
