//! Who does the work, and on which threads.

use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, RwLock};
use std::task::{Context, Poll, Waker};
use std::thread;

use tidegate::{Builder, Handle, Route, Stats, Submit};
use tokio::runtime::{self, Runtime};

use crate::job::Job;
use crate::ops::{Blocking, Hop, Tidegate, TokioFs};
use crate::ring_peers::{self, RingPeer};
use crate::sample::{Meter, Sample};
use crate::tasks::tasks;
use crate::workload::{Op, Workload};

pub(crate) type Latencies = io::Result<Vec<u64>>;

/// A way to do file I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// Blocking calls in the same tasks of the same runtime: what the work itself costs.
    Inline,
    /// A library with a ring per thread, if these were built.
    Ring(RingPeer),
    /// One hop to tokio's blocking pool per operation.
    SpawnBlocking,
    /// A thread of its own for each task.
    Threads,
    /// This library.
    Tidegate(Submit),
    /// This library on blocking threads.
    TidegatePool,
    /// `tokio::fs`.
    TokioFs,
}

/// All of them, in the order of the tables.
pub fn engines() -> Vec<Engine> {
    let peers = ring_peers::all().into_iter().map(Engine::Ring);
    ENGINES.iter().copied().chain(peers).collect()
}

const ENGINES: &[Engine] = &[
    Engine::Tidegate(Submit::Auto),
    Engine::Tidegate(Submit::Isolated),
    Engine::Tidegate(Submit::Inline),
    Engine::TidegatePool,
    Engine::TokioFs,
    Engine::SpawnBlocking,
    Engine::Inline,
    Engine::Threads,
];

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Engine::Inline => f.pad("inline"),
            Engine::Ring(peer) => peer.fmt(f),
            Engine::SpawnBlocking => f.pad("spawn-blocking"),
            Engine::Threads => f.pad("threads"),
            Engine::Tidegate(Submit::Auto) => f.pad("tidegate"),
            Engine::Tidegate(submit) => f.pad(&format!("tidegate-{submit:?}").to_ascii_lowercase()),
            Engine::TidegatePool => f.pad("tidegate-pool"),
            Engine::TokioFs => f.pad("tokio-fs"),
        }
    }
}

impl Engine {
    /// Why the engine cannot do this, or does it as a simpler engine does; `None` if it can.
    pub fn why_not(self, workload: &Workload) -> Option<&'static str> {
        match (self, workload.op) {
            (
                Engine::Ring(_),
                Op::ColdList | Op::ColdStream | Op::Copy | Op::DirectRanges | Op::HotRanges,
            ) => Some("it has no such operation"),
            (Engine::Ring(peer), _) if peer.threads() > workload.tasks => {
                Some("it has more threads than there are tasks")
            }
            (Engine::TokioFs, Op::DirectRanges | Op::DirectRead) => Some(
                "it reads into a buffer of its own, which is not aligned as O_DIRECT asks (EINVAL)",
            ),
            _ => None,
        }
    }

    /// Does the job, and measures it.
    ///
    /// # Errors
    ///
    /// Those of the operations, and of making a runtime.
    pub fn run(self, job: &Arc<Job>) -> io::Result<Sample> {
        match self {
            Engine::Inline => on_tokio(job, &tokio_runtime()?, tasks::<Blocking<true>>),
            Engine::Ring(peer) => peer.run(job),
            Engine::SpawnBlocking => on_tokio(job, &tokio_runtime()?, tasks::<Hop>),
            Engine::Threads => on_threads(job),
            Engine::Tidegate(submit) => on_tidegate(job, Handle::builder().submit(submit)),
            Engine::TidegatePool => on_tidegate(job, Handle::builder().route(Route::Pool)),
            Engine::TokioFs => on_tokio(job, &tokio_runtime()?, tasks::<TokioFs>),
        }
    }
}

/// A runtime as people have it, with a worker per processor.
fn tokio_runtime() -> io::Result<Runtime> {
    runtime::Builder::new_multi_thread().enable_all().build()
}

fn on_tidegate(job: &Arc<Job>, builder: Builder) -> io::Result<Sample> {
    let runtime = tokio_runtime()?;
    let handle = {
        let _in_runtime = runtime.enter();
        builder.install()?
    };
    let mut sample = on_tokio(job, &runtime, tasks::<Tidegate>)?;
    sample.ways = ways(&handle.stats());
    Ok(sample)
}

/// Which way the operations took, for people.
fn ways(stats: &Stats) -> String {
    let ways = stats.ops().flat_map(|op| {
        let ways = [
            ("at poll", op.at_poll),
            ("worker ring", op.worker_ring),
            ("lane", op.lane_ring),
            ("pool", op.pool),
        ];
        let total = op.total().max(1) as f64;
        ways.into_iter()
            .filter(|(_, count)| *count > 0)
            .map(move |(way, count)| {
                format!(
                    "{} {way} {count} ({:.1} %)",
                    op.row.name,
                    count as f64 / total * 100.0
                )
            })
    });
    let fallbacks = stats
        .fallbacks()
        .map(|(reason, count)| format!("fell back {count} times: {reason}"));
    let troubles = [
        ("lanes replaced", stats.lanes_replaced),
        ("polls stuck", stats.polls_stuck),
    ];
    let troubles = troubles
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{what} {count}"));
    ways.chain(fallbacks)
        .chain(troubles)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Tasks of one multi-thread runtime.
fn on_tokio<M, T>(
    job: &Arc<Job>,
    runtime: &Runtime,
    make: impl FnOnce(Arc<Job>, Range<usize>) -> M,
) -> io::Result<Sample>
where
    M: Future<Output = io::Result<Vec<T>>>,
    T: Future<Output = Latencies> + Send + 'static,
{
    let tasks = runtime.block_on(make(job.clone(), 0..job.workload.tasks))?;
    let meter = Meter::start(job);
    let tasks: Vec<_> = tasks.into_iter().map(|task| runtime.spawn(task)).collect();
    meter.watch(|| {
        runtime.block_on(async {
            let mut latencies = Vec::new();
            for task in tasks {
                latencies.push(task.await??);
            }
            Ok(latencies)
        })
    })
}

/// A thread per task, which polls it and never has to wait.
fn on_threads(job: &Arc<Job>) -> io::Result<Sample> {
    per_thread(job, job.workload.tasks, |job, indices| {
        at_once(async {
            let mut latencies = Vec::new();
            for task in tasks::<Blocking<false>>(job, indices).await? {
                latencies.push(task.await?);
            }
            Ok(latencies)
        })
    })
}

/// Splits the tasks among threads. They begin when all of them are there: with many tasks, those that
/// work would leave no processor to start the others.
pub(crate) fn per_thread(
    job: &Arc<Job>,
    threads: usize,
    run: impl Fn(Arc<Job>, Range<usize>) -> io::Result<Vec<Vec<u64>>> + Sync,
) -> io::Result<Sample> {
    let total = job.workload.tasks;
    let share = |thread: usize| total * thread / threads..total * (thread + 1) / threads;
    let gate = RwLock::new(());
    let closed = gate.write();
    thread::scope(|scope| {
        let spawn = |thread| {
            let (run, gate, indices) = (&run, &gate, share(thread));
            thread::Builder::new().spawn_scoped(scope, move || {
                drop(gate.read());
                run(job.clone(), indices)
            })
        };
        let spawned: io::Result<Vec<_>> = (0..threads).map(spawn).collect();
        if spawned.is_err() {
            job.end();
        }
        let meter = Meter::start(job);
        drop(closed);
        let threads = spawned?;
        meter.watch(|| {
            let mut latencies = Vec::new();
            for thread in threads {
                latencies.extend(thread.join().expect("a task panicked")?);
            }
            Ok(latencies)
        })
    })
}

/// Runs a future that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("blocking calls are done when they return"),
    }
}
