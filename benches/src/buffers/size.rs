//! What it costs that a pool is too small, and so what changing its size by itself could be worth at most.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tidegate::buf::BufPool;
use tidegate::fs::File;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::fixed::{O_DIRECT, open};
use super::{FILE_BYTES, runtime};
use crate::contest::contest;

const TASKS: usize = 32;
/// From a pool for every eighth task to one for all.
const COUNTS: [usize; 4] = [4, 8, 16, 32];
/// Bytes of a read, and how many a turn has.
const SHAPES: [(usize, usize); 2] = [(4 << 10, 40_000), (256 << 10, 2400)];

pub(super) fn run(path: &Path, rounds: usize) -> io::Result<()> {
    for (bytes, ops) in SHAPES {
        let runtime = runtime()?;
        let file = Arc::new(runtime.block_on(open(path, O_DIRECT))?);
        let pools: Vec<BufPool> = COUNTS
            .iter()
            .map(|count| BufPool::builder().count(*count).size(bytes).build())
            .collect::<io::Result<_>>()?;
        let names = COUNTS.map(|count| format!("{count} buffers, plain ones besides"));
        let waits = COUNTS.map(|count| format!("{count} buffers, waited for"));
        let mut contenders = Vec::new();
        for (pool, (name, waiting)) in pools.iter().zip(names.iter().zip(&waits)) {
            for (name, waits) in [(name, false), (waiting, true)] {
                let (runtime, file) = (&runtime, &file);
                let turn: Box<dyn FnMut() -> _> =
                    Box::new(move || turn(runtime, file, pool, ops, waits));
                contenders.push((name.as_str(), turn));
            }
        }
        let title = format!("direct read of {} KiB by {TASKS} tasks", bytes >> 10);
        contest(&title, rounds, &mut || Ok(()), &mut contenders)?;
        for (count, pool) in COUNTS.iter().zip(&pools) {
            println!(
                "  {count} buffers: miss rate {:.2}",
                pool.stats().miss_rate()
            );
        }
    }
    Ok(())
}

/// Each operation takes a buffer and gives it back.
fn turn(
    runtime: &Runtime,
    file: &Arc<File>,
    pool: &BufPool,
    ops: usize,
    waits: bool,
) -> io::Result<u64> {
    let mut set = JoinSet::new();
    for task in 0..TASKS {
        let (file, pool) = (file.clone(), pool.clone());
        let bytes = pool.buffer_size() as u64;
        let task = async move {
            let mut random = fastrand::Rng::with_seed(task as u64);
            for _ in 0..ops / TASKS {
                let offset = random.u64(0..FILE_BYTES / bytes) * bytes;
                let buf = if waits {
                    pool.acquire().await?
                } else {
                    pool.get()
                };
                file.read_at(buf, offset).await?;
            }
            Ok::<_, io::Error>(())
        };
        set.spawn_on(task, runtime.handle());
    }
    let done = runtime.block_on(set.join_all());
    done.into_iter().collect::<io::Result<()>>()?;
    Ok((ops / TASKS * TASKS) as u64)
}
