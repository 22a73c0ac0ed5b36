//! What is shown of a copy that goes on: files, bytes, and the oldest operation with its age and a spinner, or lines
//! of JSON. A thread of its own tells it to the process that reports.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use tidegate::{Heartbeat, OpState};
use tokio::sync::watch::Receiver;

use crate::explain::line;
use crate::worker::{Bar, Link};

/// How often a bar is told: more only costs.
const BAR_EVERY: Duration = Duration::from_millis(100);

/// The same for lines of JSON.
const LINE_EVERY: Duration = Duration::from_millis(500);

/// The spinner's pictures. Each heartbeat shows the next: it turns while somebody is there who is not stuck.
const SPINNER: [char; 4] = ['|', '/', '-', '\\'];

/// What has been done so far, and who tells it.
#[derive(Debug)]
pub(super) struct Progress {
    /// Bytes moved so far, by finished and unfinished files.
    pub(super) bytes: Arc<AtomicU64>,
    state: Arc<State>,
    teller: Mutex<Option<Teller>>,
    visible: bool,
}

#[derive(Debug, Default)]
struct State {
    bytes_in_all: AtomicU64,
    files: AtomicU64,
    files_in_all: AtomicU64,
    counted: AtomicBool,
    phase: Mutex<&'static str>,
    path: Mutex<PathBuf>,
}

#[derive(Debug)]
struct Teller {
    thread: JoinHandle<()>,
    end: mpsc::Sender<()>,
}

/// A line of JSON.
#[derive(Debug, Serialize)]
struct Line {
    event: &'static str,
    phase: &'static str,
    seconds: f64,
    files: u64,
    bytes: u64,
    /// `null` until all is counted.
    files_in_all: Option<u64>,
    bytes_in_all: Option<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress {
    /// Tells the reporting process what it can show.
    pub(super) fn new(link: &Link, beats: Receiver<Heartbeat>) -> Progress {
        let shows = link.shows();
        let mut progress = Progress {
            bytes: Arc::default(),
            state: Arc::default(),
            teller: Mutex::default(),
            visible: shows.bar || shows.lines,
        };
        progress.begin("copying");
        if progress.visible {
            progress.visible = progress.start(link.clone(), beats).is_ok();
        }
        progress
    }

    /// A new phase: the counts start over.
    pub(super) fn begin(&self, phase: &'static str) {
        *lock(&self.state.phase) = phase;
        self.bytes.store(0, Ordering::Relaxed);
        self.state.files.store(0, Ordering::Relaxed);
    }

    /// The path that work has begun on.
    pub(super) fn enter(&self, path: &Path) {
        if self.visible {
            *lock(&self.state.path) = path.to_path_buf();
        }
    }

    pub(super) fn file_done(&self) {
        self.state.files.fetch_add(1, Ordering::Relaxed);
    }

    /// One more file that there is to do.
    pub(super) fn found(&self, bytes: u64) {
        self.state.files_in_all.fetch_add(1, Ordering::Relaxed);
        self.state.bytes_in_all.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How much there is in all is known now.
    pub(super) fn counted(&self) {
        self.state.counted.store(true, Ordering::Release);
    }

    /// Ends with what has been done in the end.
    pub(super) fn finish(&self) {
        let teller = lock(&self.teller).take();
        if let Some(teller) = teller {
            drop(teller.end);
            // One that panicked has nothing more to tell.
            let _ = teller.thread.join();
        }
    }

    fn start(&self, link: Link, beats: Receiver<Heartbeat>) -> std::io::Result<()> {
        let (end, ended) = mpsc::channel::<()>();
        let (state, bytes) = (Arc::clone(&self.state), Arc::clone(&self.bytes));
        let begun = Instant::now();
        let every = if link.shows().bar {
            BAR_EVERY
        } else {
            LINE_EVERY
        };
        let tell = move || {
            let mut line_at = Duration::ZERO;
            let mut over = false;
            loop {
                // Not held while telling: whoever makes heartbeats would wait for it.
                let heartbeat = beats.borrow().clone();
                let (shows, bytes) = (link.shows(), bytes.load(Ordering::Relaxed));
                if shows.bar && !over {
                    link.bar(state.bar(bytes, &heartbeat));
                }
                let took = begun.elapsed();
                if shows.lines && (over || took >= line_at) {
                    link.line(state.line(bytes, took));
                    line_at = took + LINE_EVERY;
                }
                if over {
                    return;
                }
                over = ended.recv_timeout(every) != Err(mpsc::RecvTimeoutError::Timeout);
            }
        };
        // Without a thread nothing is shown; the copy does not need one.
        let thread = std::thread::Builder::new()
            .name("tidegate-bar".into())
            .spawn(tell)?;
        *lock(&self.teller) = Some(Teller { thread, end });
        Ok(())
    }
}

impl State {
    fn in_all(&self) -> Option<(u64, u64)> {
        let counted = self.counted.load(Ordering::Acquire);
        counted.then(|| {
            let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            (of(&self.files_in_all), of(&self.bytes_in_all))
        })
    }

    fn line(&self, bytes: u64, took: Duration) -> String {
        let in_all = self.in_all();
        let line = Line {
            event: "progress",
            phase: *lock(&self.phase),
            seconds: took.as_secs_f64(),
            files: self.files.load(Ordering::Relaxed),
            bytes,
            files_in_all: in_all.map(|(files, _)| files),
            bytes_in_all: in_all.map(|(_, bytes)| bytes),
        };
        // Strings and numbers: there is nothing that cannot be written.
        serde_json::to_string(&line).unwrap_or_default()
    }

    fn bar(&self, bytes: u64, heartbeat: &Heartbeat) -> Bar {
        let in_all = self.in_all();
        let phase = *lock(&self.phase);
        let files = self.files.load(Ordering::Relaxed);
        let of_all = in_all.map_or(String::new(), |(files, _)| format!("/{files}"));
        Bar {
            prefix: format!("{phase} {files}{of_all} files"),
            position: bytes,
            length: in_all.map(|(_, bytes)| bytes),
            in_bytes: true,
            message: self.in_work(heartbeat),
        }
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
                    op.still_for.as_secs(),
                    op.operation
                )
            }
            None => {
                let path = lock(&self.path);
                format!("{spinner}   0 s  {}", line(&path))
            }
        }
    }
}
