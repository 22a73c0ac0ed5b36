//! The progress bar. It is drawn between turns only: a thread that draws would be measured with them.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on stderr, if that is a terminal.
#[derive(Clone)]
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new(turns: u64) -> Progress {
        let bar = ProgressBar::new(turns);
        if let Ok(style) = ProgressStyle::with_template("[{bar:24}] {pos}/{len}  {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Progress { bar }
    }

    /// What comes next, before the first turn.
    pub(super) fn say(&self, message: &'static str) {
        self.bar.set_message(message);
        self.bar.tick();
    }

    /// The next turn begins.
    pub(super) fn turn(&self, message: String) {
        self.bar.set_message(message);
        self.bar.inc(1);
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
