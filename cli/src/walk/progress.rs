//! The bar that shows how a walk gets on, told by a thread of its own: it goes on while everything else is stuck.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::HumanCount;
use tidegate::fs::WalkWatch;

use crate::explain::line;
use crate::worker::{Bar, Link};

/// How often it is told.
const EVERY: Duration = Duration::from_millis(250);

pub(super) struct Progress {
    teller: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    pub(super) fn new(link: &Link, watch: WalkWatch) -> Progress {
        let teller = link.shows().bar.then(|| {
            let (end, ended) = mpsc::channel::<()>();
            let link = link.clone();
            let tell = move || {
                while ended.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                    link.bar(bar(&watch));
                }
            };
            let thread = std::thread::Builder::new().name("tidegate-bar".into());
            Some((end, thread.spawn(tell).ok()?))
        });
        Progress {
            teller: teller.flatten(),
        }
    }

    pub(super) fn finish(self) {
        if let Some((end, thread)) = self.teller {
            drop(end);
            // One that panicked has nothing more to tell.
            let _ = thread.join();
        }
    }
}

/// How much was seen, and what is in work for how long.
fn bar(watch: &WalkWatch) -> Bar {
    let stats = watch.stats();
    let rate = stats.entries as f64 / watch.age().as_secs_f64().max(1e-3);
    let mut prefix = format!(
        "{} entries, {} directories, {}/s",
        HumanCount(stats.entries),
        HumanCount(stats.directories),
        HumanCount(rate as u64)
    );
    if stats.errors > 0 {
        prefix.push_str(&format!(", {} errors", HumanCount(stats.errors)));
    }
    let now = watch.now();
    let message = now.first().map_or_else(String::new, |now| {
        let seconds = now.still_for.as_secs();
        format!("{seconds:>3} s  {} {}", now.call, line(&now.path))
    });
    Bar {
        prefix,
        position: stats.entries,
        length: None,
        in_bytes: false,
        message,
    }
}
