//! What the library does in this process, each capability used.

use std::future::Future;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tidegate::fs::{self, File};
use tidegate::opcode::Kind;
use tidegate::{Handle, OpExt, Way};

/// What polls answer they answer after the first few, which tell them of the mount.
const TRIES: usize = 200;

/// Where memory is short for a moment, threads that are to watch are started a moment later.
const PATIENCE: Duration = Duration::from_secs(3);

/// No operation takes so long on a machine that does anything at all.
const BOUND: Duration = Duration::from_secs(10);

async fn bounded<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(BOUND, future).await?
}

/// Whether one of many such operations is answered at its first poll, as the counters have it.
async fn answers<T, F>(
    kind: Kind,
    patience: Duration,
    mut make: impl FnMut() -> F,
) -> io::Result<bool>
where
    F: Future<Output = io::Result<T>>,
{
    let count = || Ok::<_, io::Error>(Handle::current()?.stats().count(kind, Way::AtPoll));
    let before = count()?;
    let end = Instant::now() + patience;
    for tries in 0.. {
        if tries >= TRIES && Instant::now() >= end {
            break;
        }
        bounded(make()).await?;
        if count()? > before {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn work(dir: &Path) -> io::Result<()> {
    let path = dir.join("made");
    let bytes = vec![7; 300_000];
    bounded(fs::write(&path, bytes.clone())).await?;
    assert!(bounded(fs::read(&path)).await? == bytes);
    bounded(fs::copy(&path, dir.join("copied"))).await?;
    assert!(bounded(fs::read(dir.join("copied"))).await? == bytes);
    let file = bounded(async { File::options().write(true).open(&path).await }).await?;
    bounded(async { file.write_all_at("x", 9).await.map_err(io::Error::from) }).await?;
    bounded(file.sync_all()).await?;
    bounded(file.close()).await?;
    bounded(fs::rename(&path, dir.join("other"))).await?;
    let missing = bounded(fs::metadata(&path)).await.unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    let mut listed = bounded(fs::read_dir(dir)).await?;
    while bounded(listed.next_entry()).await?.is_some() {}
    bounded(fs::remove_file(dir.join("other"))).await?;
    bounded(fs::create_dir_all(dir.join("a/b"))).await?;
    bounded(fs::remove_dir_all(dir.join("a"))).await?;
    bounded(tidegate::blocking(|_| ())).await?;
    let spin = tidegate::blocking(|stop| while !stop.is_wanted() {});
    let limit = bounded(spin.timeout(Duration::from_millis(10))).await;
    match limit {
        Err(error) if tidegate::Error::from_io(&error).is_some() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => unreachable!("it does not end by itself"),
    }
}

/// An error that only says that the process may have no more.
fn told(error: &io::Error) -> Value {
    json!({ "works": false, "error": error.to_string() })
}

/// A file that has been read since it was written, so that a read changes no access time.
fn make_file(path: &Path) -> io::Result<()> {
    std::fs::write(path, vec![3; 64 << 10])?;
    let file = std::fs::File::options().write(true).open(path)?;
    file.sync_all()?;
    let later = SystemTime::now() + Duration::from_secs(60);
    file.set_times(std::fs::FileTimes::new().set_accessed(later))?;
    std::fs::read(path).map(drop)
}

async fn look(dir: &Path, patience: Duration) -> io::Result<Value> {
    let path = dir.join("file");
    make_file(&path)?;
    let statx = answers(Kind::Statx, patience, || fs::statx(&path)).await?;
    let metadata = answers(Kind::Metadata, patience, || fs::metadata(&path)).await?;
    let opens = answers(Kind::Open, patience, || File::open(&path)).await?;
    let file = bounded(File::open(&path)).await?;
    let read = || async {
        file.read_at(vec![0; 4096], 0)
            .await
            .map_err(io::Error::from)
    };
    let reads = answers(Kind::Read, patience, read).await?;
    work(dir).await?;
    let stats = Handle::current()?.stats();
    let ring = stats.ops().any(|op| op.worker_ring + op.lane_ring > 0);
    Ok(json!({
        "works": true, "metadata": metadata, "statx": statx, "opens": opens, "reads": reads, "ring": ring,
    }))
}

/// All of it, as one value.
pub(crate) fn real(dir: &Path, is_short_of_memory: bool) -> Value {
    let patience = if is_short_of_memory {
        PATIENCE
    } else {
        Duration::ZERO
    };
    // tokio panics where it is short of descriptors for its signals.
    let build = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build()
    };
    let built = std::panic::catch_unwind(build);
    let runtime = match built.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())) {
        Ok(runtime) => runtime,
        Err(error) => return told(&error),
    };
    let seen = runtime
        .block_on(look(dir, patience))
        .unwrap_or_else(|error| told(&error));
    runtime.shutdown_background();
    seen
}
