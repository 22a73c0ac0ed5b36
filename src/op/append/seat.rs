//! One log, one writer: whoever opens a file that is being appended to would write over its records.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use crate::base::global::Global;
use crate::base::lock::lock;
use crate::sys::walking::Id;

/// The files that this process appends to.
static TAKEN: Global<Mutex<HashMap<Id, Arc<Taken>>>> = Global::new();

/// A file that is appended to.
pub(super) struct Taken {
    /// The writer is dropped; what it has accepted may still be written.
    is_let_go: AtomicBool,
    /// Closed once nothing more is.
    over: Semaphore,
}

/// The right to append to a file, which nobody else in this process has until it is dropped.
pub(super) struct Seat {
    file: Id,
    taken: Arc<Taken>,
}

impl Seat {
    /// Takes a file, or says who has it.
    pub(super) fn take(file: Id) -> Result<Seat, Arc<Taken>> {
        let mut all = lock(TAKEN.get_or_make(Mutex::default));
        if let Some(other) = all.get(&file) {
            return Err(other.clone());
        }
        let taken = Arc::new(Taken {
            is_let_go: AtomicBool::new(false),
            over: Semaphore::new(0),
        });
        all.insert(file, taken.clone());
        Ok(Seat { file, taken })
    }

    /// Nothing more is accepted.
    pub(super) fn let_go(&self) {
        self.taken.is_let_go.store(true, Ordering::SeqCst);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(all) = TAKEN.get() {
            let mut all = lock(all);
            // A forked child has seats of its own.
            if all
                .get(&self.file)
                .is_some_and(|taken| Arc::ptr_eq(taken, &self.taken))
            {
                all.remove(&self.file);
            }
        }
        self.taken.over.close();
    }
}

impl Taken {
    /// Waits until all that a writer has accepted is written; an error if that writer is there and accepts more.
    pub(super) async fn over(&self) -> io::Result<()> {
        if !self.is_let_go.load(Ordering::SeqCst) {
            let text = "the file has a writer that appends to it";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
        }
        // It ends by being closed.
        let _ = self.over.acquire().await;
        Ok(())
    }
}
