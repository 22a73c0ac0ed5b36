//! What all runs have in common: a runtime in a thread of its own, a storage that is held and let go by
//! this thread, operations that are started meanwhile, and what has to be true at each point.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};
use tidegate::{Handle, Route, Stats, Submit};
use tidegate_rig::{HoldGuard, Requirements};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::ticker::{Gaps, Ticker};
use crate::traces;

/// The largest gap that is allowed, beside what threads wait for each other on this machine just now.
const GAP_MAX: Duration = Duration::from_millis(50);
/// Everything here ends long before this, or not at all.
pub(crate) const WAIT: Duration = Duration::from_secs(15);

pub(crate) type Outcome = Result<(), Failed>;
/// What a single operation came to.
pub(crate) type Done = Result<(), String>;

/// How the handle works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Way {
    pub(crate) route: Route,
    pub(crate) submit: Submit,
}

/// As users get it, isolated, and pinned to each backend.
pub(crate) const WAYS: [Way; 4] = [
    Way {
        route: Route::Auto,
        submit: Submit::Auto,
    },
    Way {
        route: Route::Auto,
        submit: Submit::Isolated,
    },
    Way {
        route: Route::Ring,
        submit: Submit::Auto,
    },
    Way {
        route: Route::Pool,
        submit: Submit::Auto,
    },
];

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match (self.route, self.submit) {
            (Route::Auto, Submit::Isolated) => "isolated",
            (Route::Ring, _) => "ring",
            (Route::Pool, _) => "pool",
            _ => "auto",
        }
    }

    /// How long storage is held: longest as users get it.
    pub(crate) fn hold(self) -> Duration {
        match (self.route, self.submit) {
            (Route::Auto, Submit::Auto) => Duration::from_millis(1500),
            _ => Duration::from_millis(500),
        }
    }

    /// Whether the thread that polls submits.
    pub(crate) fn submits_at_poll(self) -> bool {
        self.route != Route::Pool && self.submit == Submit::Auto
    }

    /// Makes the handle of the runtime that this is called in.
    pub(crate) fn install(self) -> Result<Handle, String> {
        let builder = Handle::builder().route(self.route).submit(self.submit);
        builder.install().map_err(|error| error.to_string())
    }
}

/// A test that says by name what the machine lacks.
pub(crate) fn trial(
    name: String,
    needs: Requirements,
    way: Way,
    test: impl FnOnce() -> Outcome + Send + 'static,
) -> Trial {
    let shown = name.clone();
    Trial::ignorable_test(name, move || {
        let mut missing = needs.missing();
        if let (Route::Ring, Some(reason)) = (way.route, tidegate::probe::report().ring_reason()) {
            missing.push(format!("a ring: {reason}"));
        }
        if missing.is_empty() {
            return test().map(|()| Completion::Completed);
        }
        let reason = missing.join(", ");
        println!("skip: {shown}: {reason}");
        Ok(Completion::ignored_with(reason))
    })
}

pub(crate) fn ensure(truth: bool, what: impl Into<String>) -> Result<(), String> {
    if truth { Ok(()) } else { Err(what.into()) }
}

/// Operations in flight, by name.
#[derive(Default)]
pub(crate) struct Ops {
    set: JoinSet<Done>,
    unfinished: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Ops {
    /// Starts one as a task.
    pub(crate) fn start(
        &mut self,
        name: &'static str,
        op: impl Future<Output = Done> + Send + 'static,
    ) {
        *lock(&self.unfinished).entry(name).or_default() += 1;
        let unfinished = self.unfinished.clone();
        self.set.spawn(async move {
            let done = op.await.map_err(|error| format!("{name}: {error}"));
            if let Some(count) = lock(&unfinished).get_mut(name) {
                *count -= 1;
            }
            done
        });
    }

    /// The names of those that are not over, and how many.
    fn unfinished(&self) -> BTreeMap<&'static str, usize> {
        let mut unfinished = lock(&self.unfinished).clone();
        unfinished.retain(|_, count| *count > 0);
        unfinished
    }

    /// Waits for all of them.
    async fn all(mut self) -> Done {
        let mut errors = Vec::new();
        let wait = async {
            while let Some(done) = self.set.join_next().await {
                errors.extend(
                    done.map_err(|error| error.to_string())
                        .and_then(|done| done)
                        .err(),
                );
            }
        };
        let late = tokio::time::timeout(WAIT, wait).await.is_err();
        ensure(
            !late,
            format!("not over after the release: {:?}", self.unfinished()),
        )?;
        ensure(errors.is_empty(), errors.join("; "))
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a run does; the parts run in this order, each in the runtime's thread.
pub(crate) trait Play: Send + 'static {
    /// Opens what has to be open before. Storage answers.
    fn prepare(&mut self) -> impl Future<Output = Done>;
    /// Starts the operations. Storage does not answer any more.
    fn start(&mut self, ops: &mut Ops) -> impl Future<Output = Done>;
    /// Works where storage is healthy; has to come to an end while the other is held.
    fn meanwhile(&mut self) -> impl Future<Output = Done>;
    /// Those that cannot be over before the release.
    fn stuck(&self) -> &'static [&'static str];
}

/// What a run came to.
pub(crate) struct Report {
    pub(crate) gaps: Gaps,
    pub(crate) stats: Stats,
}

/// Runs the play on a current-thread runtime, with `hold` in force in its middle, for `at_least`.
pub(crate) fn run<P: Play>(
    way: Way,
    play: P,
    at_least: Duration,
    hold: impl FnOnce() -> io::Result<HoldGuard>,
) -> Result<Report, Failed> {
    let (tell, hear) = sync_channel(8);
    let (held, is_held) = oneshot::channel();
    let (released, is_released) = oneshot::channel();
    let body = move || -> Result<Report, String> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        runtime.block_on(act(way, play, &tell, is_held, is_released))
    };
    let thread = std::thread::Builder::new()
        .name("runtime".into())
        .spawn(body)?;
    expect(&hear, "preparing")?;
    let guard = hold()?;
    let began = Instant::now();
    let _ = held.send(());
    // This order is the assertion: the work elsewhere comes to its end, and only then is the hold over.
    let meanwhile = expect(&hear, "work on a healthy filesystem");
    std::thread::sleep(at_least.saturating_sub(began.elapsed()));
    guard.release()?;
    let _ = released.send(());
    let ended = expect(&hear, "everything after the release");
    meanwhile?;
    ended?;
    let report = thread
        .join()
        .map_err(|_| "the runtime's thread panicked")??;
    traces::wait_gone()?;
    Ok(report)
}

fn expect(hear: &Receiver<Done>, what: &str) -> Done {
    match hear.recv_timeout(WAIT + WAIT) {
        Ok(done) => done,
        Err(RecvTimeoutError::Timeout) => Err(format!("{what}: does not come to an end")),
        Err(RecvTimeoutError::Disconnected) => Err(format!("{what}: the runtime's thread is gone")),
    }
}

async fn act(
    way: Way,
    mut play: impl Play,
    tell: &SyncSender<Done>,
    is_held: oneshot::Receiver<()>,
    is_released: oneshot::Receiver<()>,
) -> Result<Report, String> {
    let handle = way.install()?;
    let tell = |done: Done| tell.send(done).map_err(|error| error.to_string());
    tell(play.prepare().await)?;
    let _ = is_held.await;
    let ticker = Ticker::start();
    tokio::task::yield_now().await;
    let mut ops = Ops::default();
    let begun = play.start(&mut ops).await;
    let meanwhile = match tokio::time::timeout(WAIT / 3, play.meanwhile()).await {
        Ok(done) => done,
        Err(_) => Err(format!(
            "work on a healthy filesystem hangs; {:?}",
            handle.stats()
        )),
    };
    let unfinished = ops.unfinished();
    let missing = play
        .stuck()
        .iter()
        .filter(|name| !unfinished.contains_key(*name));
    let missing: Vec<_> = missing.collect();
    let stuck = ensure(
        missing.is_empty(),
        format!("not stuck, so this shows nothing: {missing:?}"),
    );
    println!("    {}: in flight while held: {unfinished:?}", way.name());
    tell(begun.and(meanwhile).and(stuck))?;
    let _ = is_released.await;
    let done = ops.all().await.and(drained(&handle).await);
    let gaps = ticker.stop();
    let stats = handle.stats();
    tell(done)?;
    Ok(Report { gaps, stats })
}

/// Waits until the handle has nothing in flight: closes and chores have no future to wait for.
async fn drained(handle: &Handle) -> Done {
    let wait = async {
        while handle.stats().in_flight > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let late = tokio::time::timeout(WAIT, wait).await.is_err();
    ensure(
        !late,
        format!("{} operations are left in flight", handle.stats().in_flight),
    )
}

/// Prints what was measured, and fails if the runtime was frozen.
pub(crate) fn judge(name: &str, way: Way, report: &Report) -> Outcome {
    let Report { gaps, stats } = report;
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    println!(
        "    {name}, {}: largest gap {:.1} ms ({:.1} ms with waiting for a CPU; {:.1} ms between two other threads), {} ticks, {} lanes replaced, {} polls stuck",
        way.name(),
        ms(gaps.longest_asleep),
        ms(gaps.longest),
        ms(gaps.longest_elsewhere),
        gaps.ticks,
        stats.lanes_replaced,
        stats.polls_stuck,
    );
    ensure(gaps.ticks > 0, "the ticker never ran")?;
    let longest = ms(gaps.longest_asleep);
    Ok(ensure(
        gaps.longest_asleep < GAP_MAX + gaps.longest_elsewhere,
        format!("frozen for {longest:.1} ms"),
    )?)
}
