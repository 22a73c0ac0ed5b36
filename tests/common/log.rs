//! A log that tests can read, and that can block or panic.

use std::fmt::Debug;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

#[derive(Default)]
struct State {
    lines: Vec<String>,
    /// How many threads are held.
    held: usize,
    holds: bool,
    panics: bool,
}

/// Collects what the crate logs. Only for a test that is alone in its process.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<(Mutex<State>, Condvar)>);

impl Log {
    /// One that everything in this process goes to from now on.
    pub(crate) fn start() -> Log {
        let log = Log::default();
        tracing::subscriber::set_global_default(log.clone()).unwrap();
        log
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.0.0.lock();
        state.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What was logged so far, each line with its target and its fields.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.state().lines.clone()
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.state().lines)
    }

    /// Blocks whoever logs, until it is let go.
    pub(crate) fn hold(&self) {
        self.state().holds = true;
    }

    pub(crate) fn let_go(&self) {
        self.state().holds = false;
        self.0.1.notify_all();
    }

    /// How many threads are blocked.
    pub(crate) fn held(&self) -> usize {
        self.state().held
    }

    /// Makes the next event panic.
    pub(crate) fn panic_once(&self) {
        self.state().panics = true;
    }

    /// Whether the panic is still to come.
    pub(crate) fn will_panic(&self) -> bool {
        self.state().panics
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("tidegate")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(event.metadata().target().to_owned());
        event.record(&mut text);
        let mut state = self.state();
        if std::mem::take(&mut state.panics) {
            drop(state);
            panic!("the subscriber is broken");
        }
        state.held += 1;
        while state.holds {
            let woken = self.0.1.wait(state);
            state = woken.unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.held -= 1;
        state.lines.push(text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
