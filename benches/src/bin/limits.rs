//! What limits cost, and how exact they are: `cargo run --release -p tidegate-benches --bin limits`.
//!
//! First: operations that are answered at the poll, plain and with each kind of limit, in rounds that take
//! turns; nanoseconds per operation, medians, and the ratio to plain. Then: reads of a FIFO that nobody
//! writes to, with a timeout; how much later than the limit the caller has the error.

use std::future::Future;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tidegate::fs::{self, File, OpenOptions};
use tidegate::{Handle, OpExt, Route};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 9;
const OPS: usize = 50_000;
const TRIALS: usize = 300;
const LIMIT: Duration = Duration::from_millis(20);
const HOUR: Duration = Duration::from_secs(3600);

/// The ways to limit an operation.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Plain,
    Timeout,
    Deadline,
    Token,
}

const LIMITS: [Limit; 4] = [Limit::Plain, Limit::Timeout, Limit::Deadline, Limit::Token];

fn main() -> std::io::Result<()> {
    // On the filesystem of the working directory: a temporary folder may be in memory.
    let folder = tempfile::TempDir::new_in(".")?;
    let path = folder.path().join("file");
    std::fs::write(&path, vec![7; 1 << 20])?;
    std::fs::File::open(&path)?.sync_all()?;
    std::fs::read(&path)?;
    let runtime = || {
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
    };
    runtime()?.block_on(costs(&path))?;
    for route in [Route::Ring, Route::Pool] {
        overrun(&runtime()?, route, folder.path())?;
    }
    Ok(())
}

async fn costs(path: &Path) -> std::io::Result<()> {
    let file = File::open(path).await?;
    let token = CancellationToken::new();
    let mut times = [[(); 4]; 2].map(|row| row.map(|()| Vec::new()));
    for _ in 0..ROUNDS {
        for (at, limit) in LIMITS.into_iter().enumerate() {
            let began = Instant::now();
            for _ in 0..OPS {
                let metadata = fs::metadata(path);
                black_box(limited(metadata, limit, &token).await?);
            }
            times[0][at].push(began.elapsed());
            let began = Instant::now();
            let mut buf = vec![0; 4096];
            for _ in 0..OPS {
                buf = limited(file.read_at(buf, 8192), limit, &token).await?.1;
            }
            times[1][at].push(began.elapsed());
        }
    }
    for (name, times) in ["metadata", "read_at 4 KiB"].into_iter().zip(&mut times) {
        let medians = times
            .each_mut()
            .map(|times| median(times).as_nanos() as f64 / OPS as f64);
        for (limit, ns) in LIMITS.into_iter().zip(medians) {
            println!(
                "{name:>14} {limit:>9?}: {ns:7.0} ns, {:.3} of plain",
                ns / medians[0]
            );
        }
    }
    Ok(())
}

async fn limited<T, E: From<tidegate::Error>>(
    future: impl Future<Output = Result<T, E>>,
    limit: Limit,
    token: &CancellationToken,
) -> Result<T, E> {
    match limit {
        Limit::Plain => future.await,
        Limit::Timeout => future.timeout(HOUR).await,
        Limit::Deadline => future.deadline_at(Instant::now() + HOUR).await,
        Limit::Token => future.cancel_on(token).await,
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn overrun(runtime: &Runtime, route: Route, folder: &Path) -> std::io::Result<()> {
    let path: PathBuf = folder.join(format!("{route:?}"));
    runtime.block_on(async {
        let handle = Handle::builder().route(route).install()?;
        fs::make_fifo(&path, 0o600).await?;
        let fifo = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .await?;
        let mut over = Vec::new();
        for _ in 0..TRIALS {
            let began = Instant::now();
            let read = fifo.read_at(vec![0; 16], 0).timeout(LIMIT).await;
            over.push(began.elapsed().saturating_sub(LIMIT));
            assert!(read.is_err(), "nobody has written");
            // Lets a blocking thread go that still reads.
            if route == Route::Pool {
                fifo.write_at("x", 0).await?;
                while handle.stats().in_flight > 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
        over.sort_unstable();
        let at = |share: f64| over[((over.len() - 1) as f64 * share) as usize];
        println!(
            "{route:?}: later than the limit by {:?} (median), {:?} (p99), {:?} (most of {TRIALS})",
            at(0.5),
            at(0.99),
            at(1.0)
        );
        Ok(())
    })
}
