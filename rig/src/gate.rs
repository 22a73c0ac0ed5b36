//! Which requests are answered now, later, or with an error: the rules of a server.
//!
//! A request that has to wait is parked as a closure that answers it; the thread that reads requests goes on.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What a held, delayed or failed request asks for.
///
/// A [`HeldDisk`](crate::HeldDisk) sees only `Read`, `Write` and `Fsync`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Request {
    /// Create and open a file.
    Create,
    /// Sent by each close of a file.
    Flush,
    /// Write back a file or a directory.
    Fsync,
    /// Read the attributes of a file.
    Getattr,
    /// Find a name in a directory.
    Lookup,
    /// Make, link, rename or remove a name.
    Namespace,
    /// Open a file or a directory.
    Open,
    /// Read from a file.
    Read,
    /// List a directory.
    Readdir,
    /// Read a symbolic link.
    Readlink,
    /// Sent after the last close of a file; nobody waits for its answer.
    Release,
    /// Change the attributes or the size of a file.
    Setattr,
    /// Read the figures of the filesystem.
    Statfs,
    /// Write to a file.
    Write,
}

impl Request {
    /// Every kind of request.
    pub const ALL: [Request; 14] = [
        Request::Create,
        Request::Flush,
        Request::Fsync,
        Request::Getattr,
        Request::Lookup,
        Request::Namespace,
        Request::Open,
        Request::Read,
        Request::Readdir,
        Request::Readlink,
        Request::Release,
        Request::Setattr,
        Request::Statfs,
        Request::Write,
    ];

    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub(crate) fn parse(name: &str) -> Option<Request> {
        Request::ALL
            .into_iter()
            .find(|request| request.name() == name)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    Delay(Duration),
    Fail(i32),
    Hold,
}

/// Answers one request: with this error number, or with what was asked for.
pub(crate) type Answer = Box<dyn FnOnce(Option<i32>) + Send>;

struct Rule {
    id: u64,
    action: Action,
    requests: Vec<Request>,
    prefix: String,
    until: Instant,
}

struct Parked {
    /// The kernel's number of the request.
    id: u64,
    rule: u64,
    due: Instant,
    answer: Answer,
}

#[derive(Default)]
struct State {
    closed: bool,
    rules: Vec<Rule>,
    parked: Vec<Parked>,
    next_id: u64,
    expired: u64,
    interrupted: u64,
    seen: [u64; Request::ALL.len()],
}

pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    max_hold: Duration,
}

impl Gate {
    pub(crate) fn new(max_hold: Duration) -> Gate {
        Gate {
            state: Mutex::default(),
            changed: Condvar::new(),
            max_hold,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the request now, or parks it, as the newest rule that matches says.
    pub(crate) fn pass(&self, id: u64, request: Request, path: &str, answer: Answer) {
        let mut state = self.lock();
        state.seen[request as usize] += 1;
        let matching =
            |rule: &&Rule| rule.requests.contains(&request) && path.starts_with(&rule.prefix);
        let verdict = state
            .rules
            .iter()
            .rev()
            .find(matching)
            .map(|rule| (rule.id, rule.action, rule.until));
        let errno = match verdict {
            None => None,
            Some((_, Action::Fail(errno), _)) => Some(errno),
            Some((rule, action, until)) => {
                let due = match action {
                    Action::Delay(delay) => until.min(Instant::now() + delay),
                    Action::Fail(_) | Action::Hold => until,
                };
                state.parked.push(Parked {
                    id,
                    rule,
                    due,
                    answer,
                });
                self.changed.notify_all();
                return;
            }
        };
        drop(state);
        answer(errno);
    }

    /// Ends a parked request with EINTR, without doing what it asked for; false if none with this number is parked.
    pub(crate) fn interrupt(&self, id: u64) -> bool {
        let mut state = self.lock();
        let Some(at) = state.parked.iter().position(|parked| parked.id == id) else {
            return false;
        };
        let parked = state.parked.remove(at);
        state.interrupted += 1;
        drop(state);
        (parked.answer)(Some(libc::EINTR));
        true
    }

    /// Adds a rule; it ends by itself after the longest hold.
    pub(crate) fn add(
        &self,
        action: Action,
        requests: Vec<Request>,
        prefix: String,
    ) -> Option<u64> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        state.next_id += 1;
        let id = state.next_id;
        let until = Instant::now() + self.max_hold;
        state.rules.push(Rule {
            id,
            action,
            requests,
            prefix,
            until,
        });
        self.changed.notify_all();
        Some(id)
    }

    /// Drops this rule, or all of them, and lets go of what they parked.
    pub(crate) fn release(&self, id: Option<u64>) {
        let now = Instant::now();
        let mut state = self.lock();
        state
            .rules
            .retain(|rule| id.is_some_and(|id| id != rule.id));
        for parked in state
            .parked
            .iter_mut()
            .filter(|parked| id.is_none_or(|id| id == parked.rule))
        {
            parked.due = now;
        }
        self.changed.notify_all();
    }

    /// Releases everything and takes no rule from now on.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.release(None);
    }

    /// Waits until `count` requests are parked; false when the time is over first.
    pub(crate) fn wait_held(&self, count: usize, timeout: Duration) -> bool {
        let too_few = |state: &mut State| state.parked.len() < count;
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), timeout, too_few)
            .unwrap_or_else(PoisonError::into_inner);
        state.parked.len() >= count
    }

    /// `held=N rules=N expired=N interrupted=N` and a counter for each kind of request.
    pub(crate) fn status(&self) -> String {
        let state = self.lock();
        let (held, rules) = (state.parked.len(), state.rules.len());
        let (expired, interrupted) = (state.expired, state.interrupted);
        let mut line =
            format!("held={held} rules={rules} expired={expired} interrupted={interrupted}");
        for (request, seen) in Request::ALL.into_iter().zip(state.seen) {
            line.push_str(&format!(" {}={seen}", request.name()));
        }
        line
    }

    /// Answers parked requests when they are due. Never returns: it has a thread of its own.
    pub(crate) fn run_timer(&self) {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let rules = state.rules.len();
            state.rules.retain(|rule| rule.until > now);
            state.expired += (rules - state.rules.len()) as u64;
            let parked = std::mem::take(&mut state.parked);
            let (due, waiting): (Vec<_>, Vec<_>) =
                parked.into_iter().partition(|parked| parked.due <= now);
            state.parked = waiting;
            if !due.is_empty() {
                drop(state);
                due.into_iter().for_each(|parked| (parked.answer)(None));
                state = self.lock();
                continue;
            }
            let next = state.parked.iter().map(|parked| parked.due);
            let next = next.chain(state.rules.iter().map(|rule| rule.until)).min();
            state = match next {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let wait = self
                        .changed
                        .wait_timeout(state, due.saturating_duration_since(now));
                    wait.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
