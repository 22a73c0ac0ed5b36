//! Peers that have a ring per runtime and a runtime per thread, whose futures stay on their thread.

mod compio;
mod monoio;
mod ring_buf;
mod tokio_uring;

use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use crate::engine::{Latencies, per_thread};
use crate::job::Job;
use crate::ops::Ops;
use crate::sample::Sample;
use crate::tasks::tasks;

const ENTRIES: u32 = 1024;

/// A peer, and on how many threads it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingPeer {
    /// compio.
    Compio(usize),
    /// monoio.
    Monoio(usize),
    /// tokio-uring.
    TokioUring(usize),
}

/// All of them, in the order of the tables: on one thread, on two, and on as many as tokio has workers.
pub(crate) fn all() -> Vec<RingPeer> {
    let mut threads = vec![1, 2];
    threads.extend(thread::available_parallelism().map(usize::from));
    threads.sort_unstable();
    threads.dedup();
    let tokio_uring = threads.iter().copied().map(RingPeer::TokioUring);
    let monoio = threads.iter().copied().map(RingPeer::Monoio);
    let compio = threads.iter().copied().map(RingPeer::Compio);
    tokio_uring.chain(monoio).chain(compio).collect()
}

impl fmt::Display for RingPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RingPeer::Compio(threads) => f.pad(&format!("compio-{threads}t")),
            RingPeer::Monoio(threads) => f.pad(&format!("monoio-{threads}t")),
            RingPeer::TokioUring(threads) => f.pad(&format!("tokio-uring-{threads}t")),
        }
    }
}

impl RingPeer {
    pub(crate) fn threads(self) -> usize {
        match self {
            RingPeer::Compio(threads)
            | RingPeer::Monoio(threads)
            | RingPeer::TokioUring(threads) => threads,
        }
    }

    pub(crate) fn run(self, job: &Arc<Job>) -> io::Result<Sample> {
        match self {
            RingPeer::Compio(threads) => on_compio(job, threads),
            RingPeer::Monoio(threads) => on_monoio(job, threads),
            RingPeer::TokioUring(threads) => on_tokio_uring(job, threads),
        }
    }
}

fn on_tokio_uring(job: &Arc<Job>, threads: usize) -> io::Result<Sample> {
    per_thread(job, threads, |job, indices| {
        let mut builder = ::tokio_uring::builder();
        builder.entries(ENTRIES);
        builder.start(local::<tokio_uring::TokioUring, _, _>(
            job,
            indices,
            |task| {
                let task = ::tokio_uring::spawn(task);
                async move { task.await? }
            },
        ))
    })
}

fn on_monoio(job: &Arc<Job>, threads: usize) -> io::Result<Sample> {
    per_thread(job, threads, |job, indices| {
        let mut runtime = ::monoio::RuntimeBuilder::<::monoio::IoUringDriver>::new()
            .with_entries(ENTRIES)
            .build()?;
        runtime.block_on(local::<monoio::Monoio, _, _>(job, indices, ::monoio::spawn))
    })
}

fn on_compio(job: &Arc<Job>, threads: usize) -> io::Result<Sample> {
    per_thread(job, threads, |job, indices| {
        let mut proactor = ::compio::driver::ProactorBuilder::new();
        proactor.capacity(ENTRIES);
        let runtime = ::compio::runtime::RuntimeBuilder::new()
            .with_proactor(proactor)
            .build()?;
        runtime.block_on(local::<compio::Compio, _, _>(job, indices, |task| {
            let task = ::compio::runtime::spawn(task);
            async move { task.await.expect("a task panicked") }
        }))
    })
}

/// Spawns tasks on the runtime of this thread, and waits for them.
async fn local<E: Ops, S, J>(
    job: Arc<Job>,
    indices: Range<usize>,
    spawn: S,
) -> io::Result<Vec<Vec<u64>>>
where
    S: Fn(Pin<Box<dyn Future<Output = Latencies>>>) -> J,
    J: Future<Output = Latencies>,
{
    let tasks = tasks::<E>(job, indices).await?;
    let tasks: Vec<J> = tasks
        .into_iter()
        .map(|task| spawn(Box::pin(task)))
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.push(task.await?);
    }
    Ok(latencies)
}
