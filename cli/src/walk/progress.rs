//! The line that shows how a walk gets on, drawn by a thread of its own: it goes on while everything else is stuck.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tidegate::fs::WalkWatch;

use crate::explain::line;

/// How often it is drawn.
const EVERY: Duration = Duration::from_millis(250);

pub(super) struct Progress {
    bar: ProgressBar,
    drawer: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// On stderr, if that is a terminal.
    pub(super) fn new(shows: bool, watch: WalkWatch) -> Progress {
        let target = match shows {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{spinner} {msg}\n  {prefix}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let drawer = (!bar.is_hidden()).then(|| {
            let (end, ended) = mpsc::channel::<()>();
            let bar = bar.clone();
            let draw = move || {
                while ended.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                    show(&bar, &watch);
                }
            };
            let thread = std::thread::Builder::new().name("tidegate-bar".into());
            Some((end, thread.spawn(draw).ok()?))
        });
        Progress {
            bar,
            drawer: drawer.flatten(),
        }
    }

    /// Runs `print` with the line out of the way.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        match self.bar.is_hidden() {
            true => print(),
            false => self.bar.suspend(print),
        }
    }

    pub(super) fn finish(self) {
        if let Some((end, thread)) = self.drawer {
            drop(end);
            // One that panicked has nothing more to draw.
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

/// What is in work, and for how long.
fn show(bar: &ProgressBar, watch: &WalkWatch) {
    let stats = watch.stats();
    let rate = stats.entries as f64 / watch.age().as_secs_f64().max(1e-3);
    let mut message = format!(
        "{} entries, {} directories, {}/s",
        HumanCount(stats.entries),
        HumanCount(stats.directories),
        HumanCount(rate as u64)
    );
    if stats.errors > 0 {
        message.push_str(&format!(", {} errors", HumanCount(stats.errors)));
    }
    let now = watch.now();
    if let Some(now) = now.first() {
        let seconds = now.still_for.as_secs();
        bar.set_prefix(format!("{seconds:>3} s  {} {}", now.call, line(&now.path)));
    }
    bar.set_message(message);
    bar.tick();
}
