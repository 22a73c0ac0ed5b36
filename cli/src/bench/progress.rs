//! The progress bar. It is told between turns only: a thread that tells it would be measured with them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::worker::{Bar, Link};

/// What is measured now, of how much.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    link: Link,
    bar: Arc<Mutex<Bar>>,
}

impl Progress {
    pub(super) fn new(link: &Link, turns: u64) -> Progress {
        let bar = Bar {
            length: Some(turns),
            ..Bar::default()
        };
        Progress {
            link: link.clone(),
            bar: Arc::new(Mutex::new(bar)),
        }
    }

    /// What comes next, before the first turn.
    pub(super) fn say(&self, message: &'static str) {
        self.tell(|bar| bar.message = message.into());
    }

    /// The next turn begins.
    pub(super) fn turn(&self, message: String) {
        self.tell(|bar| {
            bar.message = message;
            bar.position += 1;
        });
    }

    fn tell(&self, change: impl FnOnce(&mut Bar)) {
        if !self.link.shows().bar {
            return;
        }
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut bar);
        self.link.bar(bar.clone());
    }
}
