//! The hop of a thread that has a log's turn.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::Appender;
use crate::base::lock::lock;
use crate::driver::Driver;
use crate::driver::op::{Load, Op};
use crate::limits;
use crate::observe::Promise;
use crate::opcode::Kind;
use crate::sys::fd::Target;
use crate::sys::request::{self, Request};
#[cfg(feature = "testing")]
use crate::sys::request::{FdRef, Paths};
use crate::sys::steps::Steps;

impl Appender {
    pub(super) fn start(self: &Arc<Self>, driver: &Arc<Driver>) {
        let is_told = Arc::new(AtomicBool::new(false));
        let running = Running {
            appender: self.clone(),
            driver: driver.clone(),
            _promise: Promise::new(&driver.counters),
            has_begun: false,
            is_over: false,
            is_told: is_told.clone(),
        };
        let work: Work = Box::new(move |steps| {
            running.take(steps);
            Ok(())
        });
        let turn = Turn {
            appender: self.clone(),
            hop: request::Hop::new(work),
            is_told,
        };
        driver.start_for_others(turn, &self.file.mount());
    }
}

type Work = Box<dyn FnOnce(&Steps) -> io::Result<()> + Send>;

/// The hop of a thread that has its turn.
struct Turn {
    appender: Arc<Appender>,
    hop: request::Hop<(), Work>,
    /// Whether those were told who waited when it failed.
    is_told: Arc<AtomicBool>,
}

impl Op for Turn {
    type Output = io::Result<()>;

    fn kind(&self) -> Kind {
        Kind::Append
    }

    fn target(&self) -> Target {
        Target::file(self.appender.file.as_fd())
    }

    fn request(&mut self) -> &mut dyn Request {
        &mut self.hop
    }

    /// Its records were accepted.
    fn is_kept(&self) -> bool {
        true
    }

    fn load(&self) -> Load {
        Load::Buffered
    }

    #[cfg(feature = "testing")]
    fn paths(&mut self, paths: &mut Paths) {
        let file: FdRef = self.appender.file.clone();
        paths.file(&file);
    }

    #[cfg(feature = "testing")]
    fn shorten(&mut self, bytes: usize) {
        lock(&self.appender.disk).bytes_max = bytes.max(1);
    }

    fn finish(self, result: io::Result<i32>) -> io::Result<()> {
        result.map(drop)
    }

    fn lost(error: io::Error) -> io::Result<()> {
        Err(error)
    }

    /// It did not take place.
    fn unheard(&self, number: i32) {
        self.is_told.store(true, Ordering::SeqCst);
        let error = match number {
            1.. => io::Error::from_raw_os_error(number),
            _ => io::ErrorKind::BrokenPipe.into(),
        };
        self.appender.fail_whole(&error);
    }
}

impl Appender {
    /// What was written since the last sync is given up.
    fn cut_to_synced(&self, error: &io::Error) {
        let synced = lock(&self.queue).synced;
        lock(&self.disk).cut = Some(synced);
        self.fail(error, synced, Vec::new());
    }

    /// Nothing of what waits was written.
    fn fail_whole(&self, error: &io::Error) {
        let begin = {
            let queue = lock(&self.queue);
            let first = queue.records.front();
            first.map(|record| record.end - record.content.bytes())
        };
        if let Some(begin) = begin {
            self.fail(error, begin, Vec::new());
        }
    }
}

/// There is a turn, or one is on its way.
struct Running {
    appender: Arc<Appender>,
    driver: Arc<Driver>,
    /// The end of the runtime waits for what was accepted.
    _promise: Promise,
    has_begun: bool,
    is_over: bool,
    is_told: Arc<AtomicBool>,
}

impl Running {
    /// Takes groups as long as there are any, or the turn is over.
    fn take(mut self, steps: &Steps) {
        self.has_begun = true;
        let began = Instant::now();
        let mut is_first = true;
        loop {
            if !is_first && self.driver.has_faults() && self.appender.has_waiting() {
                // Each group comes by the rules of the fake backend.
                self.is_over = true;
                return self.appender.start(&self.driver);
            }
            is_first = false;
            let group = self.appender.next();
            if group.is_empty() {
                let mut queue = lock(&self.appender.queue);
                if !queue.records.is_empty() {
                    continue;
                }
                queue.is_running = false;
                self.is_over = true;
                let trims = queue.trims;
                drop(queue);
                if trims {
                    self.appender.trim();
                }
                return;
            }
            self.appender.commit(group);
            steps.go_on();
            if began.elapsed() >= limits::APPEND_TURN {
                self.is_over = true;
                return self.appender.start(&self.driver);
            }
        }
    }
}

impl Drop for Running {
    /// It was refused, or something panicked.
    fn drop(&mut self) {
        if self.is_over || self.driver.is_of_parent() {
            return;
        }
        let told = self.is_told.load(Ordering::SeqCst);
        let error = io::ErrorKind::BrokenPipe.into();
        if self.has_begun {
            // Nobody knows how far it came.
            self.appender.cut_to_synced(&error);
        } else if !told {
            self.appender.fail_whole(&error);
        }
        let mut queue = lock(&self.appender.queue);
        if queue.records.is_empty() {
            queue.is_running = false;
            return;
        }
        drop(queue);
        // What came after the failure was acknowledged.
        self.appender.start(&self.driver);
    }
}

impl Appender {
    fn has_waiting(&self) -> bool {
        !lock(&self.queue).records.is_empty()
    }
}
