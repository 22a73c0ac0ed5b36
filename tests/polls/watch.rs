//! Seeing from outside whether a thread sleeps in the kernel: its state in procfs, not a clock.

use std::any::Any;
use std::fs;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

/// How far apart a thread is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(5);
/// So many looks in a row at the same sleep: no bound of the library is as long.
const ASLEEP_LOOKS: u32 = 50;
/// The same for a sleep that no signal ends, which is what storage is waited for in.
const ASLEEP_DEEP_LOOKS: u32 = 25;

/// After so many looks at a poll that has not returned, it has failed however it spends its time.
const INSIDE_LOOKS_MAX: u32 = 400;

/// What a call leaves; let go of when the storage answers again.
pub(crate) type Kept = Box<dyn Any + Send>;
pub(crate) type Doing = Pin<Box<dyn Future<Output = io::Result<Kept>> + Send>>;

/// The state of a thread, and how often it has gone to sleep so far.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sight {
    state: char,
    switches: u64,
}

fn of_task(thread: i32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/task/{thread}/{file}"))
}

fn look(thread: i32) -> Option<Sight> {
    let status = fs::read_to_string(of_task(thread, "status")).ok()?;
    let field = |name: &str| {
        let mut lines = status.lines();
        lines
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    Some(Sight {
        state: field("State:")?.chars().next()?,
        switches: field("voluntary_ctxt_switches:")?.parse().ok()?,
    })
}

impl Sight {
    fn sleeps(self) -> bool {
        matches!(self.state, 'S' | 'D')
    }
}

/// What the kernel says of a thread, for the report.
pub(crate) fn describe(thread: i32) -> String {
    let text = |file| {
        let text = fs::read_to_string(of_task(thread, file));
        text.unwrap_or_else(|error| error.to_string())
            .trim()
            .to_owned()
    };
    let stack = text("stack");
    let calls = stack.lines().map(|line| {
        let call = line.rsplit(' ').next().unwrap_or_default();
        call.split('+').next().unwrap_or_default()
    });
    let calls: Vec<_> = calls.take(20).collect();
    let state = look(thread).map_or('?', |sight| sight.state);
    let number = text("syscall");
    let number = number.split(' ').next().unwrap_or_default();
    format!(
        "state {state}, system call {number}, in {}: {}",
        text("wchan"),
        calls.join(" < ")
    )
}

/// Where a future is being polled right now, if anywhere.
#[derive(Default)]
pub(crate) struct Inside {
    /// The polling thread; zero for none.
    thread: AtomicI32,
    polls: AtomicU64,
    /// The future is over, or was given up.
    is_over: AtomicBool,
    kept: Mutex<Option<io::Result<Kept>>>,
}

impl Inside {
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Whether the first poll has returned.
    pub(crate) fn has_returned(&self) -> bool {
        self.is_over()
            || self.polls.load(Ordering::SeqCst) > 0 && self.thread.load(Ordering::SeqCst) == 0
    }

    /// What it came to.
    pub(crate) fn take(&self) -> Option<io::Result<Kept>> {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// The threads of runtimes.
fn workers() -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let numbers = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
    let is_worker = |number: &i32| {
        let name = fs::read_to_string(of_task(*number, "comm"));
        name.is_ok_and(|name| name.starts_with("tokio-rt-worker"))
    };
    numbers.filter(is_worker).collect()
}

/// What the threads of runtimes are doing.
pub(crate) fn describe_workers() -> String {
    let all: Vec<_> = workers().into_iter().map(describe).collect();
    all.join("; ")
}

/// How threads of runtimes sleep that wait for storage, in a poll or not: what a ring completes may close a file where
/// its owner next leaves the kernel.
pub(crate) fn asleep_workers() -> Vec<String> {
    let deep = |number: i32| {
        look(number)
            .filter(|sight| sight.state == 'D')
            .map(|sight| (number, sight))
    };
    let mut asleep: Vec<_> = workers().into_iter().filter_map(deep).collect();
    for _ in 0..ASLEEP_DEEP_LOOKS {
        if asleep.is_empty() {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
        asleep.retain(|&(number, sight)| look(number) == Some(sight));
    }
    asleep
        .into_iter()
        .map(|(number, _)| describe(number))
        .collect()
}

/// A future that says when it is inside a poll.
pub(crate) struct Watched {
    doing: Option<Doing>,
    inside: Arc<Inside>,
}

impl Watched {
    pub(crate) fn new(doing: Doing) -> (Watched, Arc<Inside>) {
        let inside = Arc::new(Inside::default());
        let watched = Watched {
            doing: Some(doing),
            inside: inside.clone(),
        };
        (watched, inside)
    }
}

/// Also when the poll panics.
struct Mark<'a>(&'a Inside);

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.0.thread.store(0, Ordering::SeqCst);
    }
}

impl Future for Watched {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let inside = self.inside.clone();
        let Some(doing) = &mut self.doing else {
            return Poll::Ready(());
        };
        inside.polls.fetch_add(1, Ordering::SeqCst);
        inside
            .thread
            .store(nix::unistd::gettid().as_raw(), Ordering::SeqCst);
        let _mark = Mark(&inside);
        let Poll::Ready(result) = doing.as_mut().poll(cx) else {
            return Poll::Pending;
        };
        // What it holds goes here, seen as well.
        self.doing = None;
        *inside.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        Poll::Ready(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.inside.is_over.store(true, Ordering::SeqCst);
    }
}

/// Looks at one future again and again.
pub(crate) struct Observer {
    pub(crate) inside: Arc<Inside>,
    last: Option<(u64, Sight)>,
    looks: u32,
    /// Looks at the same poll, and how many of them found the thread asleep.
    all: (u32, u32),
}

impl Observer {
    pub(crate) fn new(inside: Arc<Inside>) -> Observer {
        Observer {
            inside,
            last: None,
            looks: 0,
            all: (0, 0),
        }
    }

    /// Looks once; the description of the sleep if its thread has been in the same one for too long.
    pub(crate) fn look(&mut self) -> Option<String> {
        let thread = self.inside.thread.load(Ordering::SeqCst);
        if thread == 0 {
            self.last = None;
            return None;
        }
        let now = look(thread).map(|sight| (self.inside.polls.load(Ordering::SeqCst), sight));
        let same = now.is_some_and(|(_, sight)| sight.sleeps()) && now == self.last;
        self.looks = if same { self.looks + 1 } else { 0 };
        let polls = |seen: Option<(u64, Sight)>| seen.map(|(polls, _)| polls);
        if polls(now) != polls(self.last) {
            self.all = (0, 0);
        }
        self.all.0 += 1;
        self.all.1 += u32::from(now.is_some_and(|(_, sight)| sight.sleeps()));
        self.last = now;
        if self.all.0 >= INSIDE_LOOKS_MAX {
            let (all, asleep) = self.all;
            let now = describe(thread);
            return Some(format!(
                "does not return, asleep in {asleep} of {all} looks, {now}"
            ));
        }
        let most = match now {
            Some((_, Sight { state: 'D', .. })) => ASLEEP_DEEP_LOOKS,
            _ => ASLEEP_LOOKS,
        };
        (self.looks >= most).then(|| describe(thread))
    }
}

/// A thread that does something by std which is meant to sleep: a control, or what others wait behind.
pub(crate) struct Sleeper {
    pub(crate) name: String,
    number: Arc<AtomicI32>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sleeper {
    pub(crate) fn start(name: impl Into<String>, body: impl FnOnce() + Send + 'static) -> Sleeper {
        let (number, is_over) = (
            Arc::new(AtomicI32::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let seen = (number.clone(), is_over.clone());
        let body = move || {
            seen.0
                .store(nix::unistd::gettid().as_raw(), Ordering::SeqCst);
            body();
            seen.1.store(true, Ordering::SeqCst);
        };
        let thread = std::thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(body);
        Sleeper {
            name: name.into(),
            number,
            is_over,
            thread: thread.ok(),
        }
    }

    fn sight(&self) -> Option<Sight> {
        let number = self.number.load(Ordering::SeqCst);
        let is_over = self.is_over.load(Ordering::SeqCst);
        (number != 0 && !is_over).then(|| look(number)).flatten()
    }

    /// Waits until it sleeps, which is seen by two looks at the same sleep; `false` if it is over instead.
    pub(crate) fn falls_asleep(&self) -> bool {
        let mut last = None;
        let mut same = 0;
        for _ in 0..400 {
            let sight = self.sight();
            same = if sight.is_some_and(Sight::sleeps) && sight == last {
                same + 1
            } else {
                0
            };
            if same == 2 {
                return true;
            }
            if self.is_over.load(Ordering::SeqCst) {
                return false;
            }
            last = sight;
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }

    /// Waits for its end: only once nothing is held any more. Dropped instead, it ends when it can.
    pub(crate) fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// What it does instead of sleeping.
    pub(crate) fn describe(&self) -> String {
        let is_over = self.is_over.load(Ordering::SeqCst);
        let now = describe(self.number.load(Ordering::SeqCst));
        format!("{}: over: {is_over}, {now}", self.name)
    }

    pub(crate) fn sleeps(&self) -> bool {
        self.sight().is_some_and(Sight::sleeps)
    }
}
