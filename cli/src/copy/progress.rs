//! The progress bar: files, bytes, rate, time left, and below it the oldest operation with its age and a spinner,
//! drawn by a thread of its own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tidegate::{Heartbeat, OpState};
use tokio::sync::watch::Receiver;

use crate::explain::line;

/// Draws per second; more only cost.
const DRAWS_PER_SECOND: u8 = 10;

/// The spinner's pictures. Each heartbeat shows the next: it turns while somebody is there who is not stuck.
const SPINNER: [char; 4] = ['|', '/', '-', '\\'];

/// What the bar shows, and the bar.
#[derive(Debug)]
pub(super) struct Progress {
    /// Bytes moved so far, by finished and unfinished files.
    pub(super) bytes: Arc<AtomicU64>,
    bytes_in_all: AtomicU64,
    state: Arc<State>,
    bar: ProgressBar,
    drawer: Mutex<Option<Drawer>>,
}

#[derive(Debug, Default)]
struct State {
    files: AtomicU64,
    files_in_all: AtomicU64,
    counted: AtomicBool,
    phase: Mutex<&'static str>,
    path: Mutex<PathBuf>,
}

#[derive(Debug)]
struct Drawer {
    thread: JoinHandle<()>,
    end: mpsc::Sender<()>,
}

impl Progress {
    /// A bar on stderr if that is a terminal and there are heartbeats to show.
    pub(super) fn new(beats: Option<Receiver<Heartbeat>>) -> Progress {
        let target = match beats {
            Some(_) => ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND),
            None => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let progress = Progress {
            bytes: Arc::default(),
            bytes_in_all: AtomicU64::new(0),
            state: Arc::default(),
            bar,
            drawer: Mutex::default(),
        };
        progress.begin("copying");
        if let Some(beats) = beats.filter(|_| progress.visible()) {
            // Its style is there before anything else draws it.
            progress.state.draw(&progress.bar, 0, &Heartbeat::default());
            progress.start(beats);
        }
        progress
    }

    pub(super) fn visible(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// A new phase: the counts start over.
    pub(super) fn begin(&self, phase: &'static str) {
        *self
            .state
            .phase
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = phase;
        self.bytes.store(0, Ordering::Relaxed);
        self.state.files.store(0, Ordering::Relaxed);
    }

    /// The path that work has begun on.
    pub(super) fn enter(&self, path: &Path) {
        if self.visible() {
            *self
                .state
                .path
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = path.to_path_buf();
        }
    }

    pub(super) fn file_done(&self) {
        self.state.files.fetch_add(1, Ordering::Relaxed);
    }

    /// One more file that there is to do.
    pub(super) fn found(&self, bytes: u64) {
        self.state.files_in_all.fetch_add(1, Ordering::Relaxed);
        self.bytes_in_all.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How much there is in all is known now.
    pub(super) fn counted(&self) {
        self.bar
            .set_length(self.bytes_in_all.load(Ordering::Relaxed));
        self.state.counted.store(true, Ordering::Release);
    }

    /// Runs `print` with the bar out of the way.
    pub(super) fn suspend(&self, print: impl FnOnce()) {
        if self.visible() {
            self.bar.suspend(print)
        } else {
            print()
        }
    }

    /// Removes the bar.
    pub(super) fn finish(&self) {
        let drawer = self
            .drawer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(drawer) = drawer {
            drop(drawer.end);
            // A drawer that panicked has nothing more to draw.
            let _ = drawer.thread.join();
        }
        self.bar.finish_and_clear();
    }

    fn start(&self, beats: Receiver<Heartbeat>) {
        let (end, ended) = mpsc::channel::<()>();
        let (bar, state, bytes) = (
            self.bar.clone(),
            Arc::clone(&self.state),
            Arc::clone(&self.bytes),
        );
        let draw = move || {
            let every = Duration::from_millis(1000 / u64::from(DRAWS_PER_SECOND));
            while ended.recv_timeout(every) == Err(mpsc::RecvTimeoutError::Timeout) {
                // Not held while drawing: whoever makes heartbeats would wait for it.
                let heartbeat = beats.borrow().clone();
                state.draw(&bar, bytes.load(Ordering::Relaxed), &heartbeat);
            }
        };
        // Without a thread there is no bar; the copy does not need one.
        if let Ok(thread) = std::thread::Builder::new()
            .name("tidegate-bar".into())
            .spawn(draw)
        {
            *self.drawer.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Drawer { thread, end });
        }
    }
}

impl State {
    fn draw(&self, bar: &ProgressBar, bytes: u64, heartbeat: &Heartbeat) {
        let counted = self.counted.load(Ordering::Acquire);
        let template = if counted {
            "{prefix} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left\n{wide_msg}"
        } else {
            "{prefix} {bytes} {bytes_per_sec}, counting\n{wide_msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        let phase = *self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let files = self.files.load(Ordering::Relaxed);
        bar.set_prefix(if counted {
            format!(
                "{phase} {files}/{} files",
                self.files_in_all.load(Ordering::Relaxed)
            )
        } else {
            format!("{phase} {files} files")
        });
        bar.set_message(self.in_work(heartbeat));
        bar.set_position(bytes);
    }

    /// What is waited for longest, or what work was begun on last.
    fn in_work(&self, heartbeat: &Heartbeat) -> String {
        let turn = heartbeat.beat % SPINNER.len() as u64;
        let spinner = SPINNER[turn as usize];
        let waited_for = |op: &&tidegate::OpInFlight| op.state != OpState::Orphaned;
        match heartbeat.oldest.as_ref().filter(waited_for) {
            Some(op) => {
                let path = op.path.as_deref().map_or("-".into(), line);
                format!(
                    "{spinner} {:>3} s  {} {path}",
                    op.age.as_secs(),
                    op.operation
                )
            }
            None => {
                let path = self.path.lock().unwrap_or_else(PoisonError::into_inner);
                format!("{spinner}   0 s  {}", line(&path))
            }
        }
    }
}
