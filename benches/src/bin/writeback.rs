//! Sequential writes of much, with dirty pages bounded and not, and reads beside a writer that syncs:
//! `cargo run --release -p tidegate-benches --bin writeback [FOLDER] [MIB] [STREAMS] [ROUNDS] [WAYS]`.
//!
//! Ways take turns. Each writes files of `MIB` in all, 1 MiB at a time, and syncs them. Shown are the medians: MB/s with the sync, the
//! 99.9th percentile and the worst of one write in milliseconds, the most that the system had dirty or under writeback beyond
//! what it had before, in MB, and processor time. `WAYS` are their names, separated by commas, if not all are
//! meant; `reads` is what comes after them. For a memory limit, run it in a cgroup. Then 4 × 256 KiB of random
//! reads that are not cached, alone and beside a writer that syncs every 8 MiB: the 99th percentile in milliseconds.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use nix::libc;
use tidegate::fs::{Advice, File, WritebackPolicy};
use tidegate_measure::usage::Usage;

const PART: usize = 1 << 20;
const CHUNK: u64 = 8 << 20;
const READ: usize = 256 << 10;
const READ_FILE: u64 = 512 << 20;
const READS: usize = 600;

#[derive(Clone, Copy, Debug)]
enum Way {
    ThreadPlain,
    /// Chunks of 8 MiB, which a second thread begins to write out, and waits for once the next has begun.
    ThreadChunks,
    ThreadDontcache,
    ThreadDirect,
    Tidegate,
    Bounded,
    Bounded8Mib,
}

const WAYS: [Way; 7] = [
    Way::ThreadPlain,
    Way::ThreadChunks,
    Way::ThreadDontcache,
    Way::ThreadDirect,
    Way::Tidegate,
    Way::Bounded,
    Way::Bounded8Mib,
];

/// Dirty bytes and those under writeback, of the whole system.
fn dirty() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let of = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    let is_one = |line: &&str| line.starts_with("Dirty:") || line.starts_with("Writeback:");
    let kib: u64 = text.lines().filter(is_one).filter_map(of).sum();
    kib << 10
}

/// Looks at the dirty bytes until it is dropped.
struct Watch {
    peak: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl Watch {
    fn begin() -> Watch {
        let (peak, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (base, looked, over) = (dirty(), peak.clone(), is_over.clone());
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                looked.fetch_max(dirty().saturating_sub(base), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Watch { peak, is_over }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// `RWF_DONTCACHE` (Linux 6.14).
const DONTCACHE: libc::c_int = 0x80;

fn write_uncached(file: &std::fs::File, part: &[u8], at: u64) -> io::Result<()> {
    let one = libc::iovec {
        iov_base: part.as_ptr().cast_mut().cast(),
        iov_len: part.len(),
    };
    // SAFETY: the call reads the part, which outlives it.
    let count = unsafe { libc::pwritev2(file.as_raw_fd(), &one, 1, at as libc::off_t, DONTCACHE) };
    match count {
        _ if count < 0 => Err(io::Error::last_os_error()),
        _ if count as usize == part.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Begins to write out each chunk that it hears of, and finishes the one before.
fn finalise(file: &std::fs::File, chunks: &Receiver<u64>) -> io::Result<()> {
    let call = |at: u64, flags: libc::c_uint| {
        let (fd, at, len) = (
            file.as_raw_fd(),
            at as libc::off64_t,
            CHUNK as libc::off64_t,
        );
        // SAFETY: the call takes no memory.
        match unsafe { libc::sync_file_range(fd, at, len, flags) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    let finish = |at: u64| {
        let all = libc::SYNC_FILE_RANGE_WAIT_BEFORE
            | libc::SYNC_FILE_RANGE_WRITE
            | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        call(at, all)?;
        let advice = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        nix::fcntl::posix_fadvise(file, at as libc::off_t, CHUNK as libc::off_t, advice)?;
        Ok(())
    };
    let mut before = None;
    for at in chunks {
        call(at, libc::SYNC_FILE_RANGE_WRITE)?;
        before.replace(at).map_or(Ok(()), finish)?;
    }
    before.map_or(Ok(()), finish)
}

fn by_thread(path: &Path, parts: usize, way: Way) -> io::Result<Vec<Duration>> {
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(true);
    if matches!(way, Way::ThreadDirect) {
        options.custom_flags(nix::fcntl::OFlag::O_DIRECT.bits());
    }
    let file = options.open(path)?;
    // Direct writes want their memory at the beginning of a page.
    let memory = vec![7_u8; PART + 4096];
    let skip = memory.as_ptr().align_offset(4096);
    let part = &memory[skip..skip + PART];
    let mut took = Vec::with_capacity(parts);
    std::thread::scope(|scope| {
        let (chunk, chunks) = sync_channel(0);
        let finalised = scope.spawn({
            let file = &file;
            move || finalise(file, &chunks)
        });
        for at in 0..parts {
            let began = Instant::now();
            let offset = (at * PART) as u64;
            match way {
                Way::ThreadDontcache => write_uncached(&file, part, offset)?,
                _ => file.write_all_at(part, offset)?,
            }
            let end = offset + PART as u64;
            if matches!(way, Way::ThreadChunks) && end % CHUNK == 0 {
                let _ = chunk.send(end - CHUNK);
            }
            took.push(began.elapsed());
        }
        drop(chunk);
        finalised.join().unwrap_or(Ok(()))
    })?;
    file.sync_all()?;
    Ok(took)
}

async fn by_tidegate(path: &Path, parts: usize, way: Way) -> io::Result<Vec<Duration>> {
    let file = File::create(path).await?;
    let file = match way {
        Way::Bounded => file.with_writeback(WritebackPolicy::new()),
        Way::Bounded8Mib => {
            let policy = WritebackPolicy::new().chunk_bytes(8 << 20).fixed_chunk();
            file.with_writeback(policy)
        }
        _ => file,
    };
    let mut part = vec![7_u8; PART];
    let mut took = Vec::with_capacity(parts);
    for at in 0..parts {
        let began = Instant::now();
        part = file.write_all_at(part, (at * PART) as u64).await?;
        took.push(began.elapsed());
    }
    file.sync_all().await?;
    file.close().await?;
    Ok(took)
}

struct Shown {
    rate: f64,
    p999_ms: f64,
    worst_ms: f64,
    peak_mb: f64,
    cpu_s: f64,
}

fn percentile(took: &mut [Duration], part: f64) -> f64 {
    took.sort_unstable();
    let at = ((took.len() as f64 * part).ceil() as usize).clamp(1, took.len());
    took[at - 1].as_secs_f64() * 1e3
}

async fn round(folder: &Path, mib: usize, streams: usize, way: Way) -> io::Result<Shown> {
    let paths: Vec<PathBuf> = (0..streams).map(|n| folder.join(format!("{n}"))).collect();
    let parts = mib / streams;
    let (watch, usage, began) = (Watch::begin(), Usage::now(), Instant::now());
    let mut tasks = Vec::new();
    for path in paths.clone() {
        tasks.push(match way {
            Way::ThreadPlain | Way::ThreadChunks | Way::ThreadDontcache | Way::ThreadDirect => {
                tokio::task::spawn_blocking(move || by_thread(&path, parts, way))
            }
            _ => tokio::spawn(async move { by_tidegate(&path, parts, way).await }),
        });
    }
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.map_err(io::Error::other)??);
    }
    let (elapsed, cpu) = (began.elapsed(), Usage::now().since(usage).cpu);
    let peak = watch.peak.load(Ordering::Relaxed);
    paths.iter().try_for_each(std::fs::remove_file)?;
    Ok(Shown {
        rate: (parts * streams * PART) as f64 / elapsed.as_secs_f64() / 1e6,
        p999_ms: percentile(&mut took, 0.999),
        worst_ms: percentile(&mut took, 1.0),
        peak_mb: peak as f64 / 1e6,
        cpu_s: cpu.as_secs_f64(),
    })
}

fn median(of: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = of.collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

async fn reads(path: &Path) -> io::Result<f64> {
    let mut tasks = Vec::new();
    for task in 0..4 {
        let path = path.to_path_buf();
        tasks.push(tokio::spawn(async move {
            let file = File::open(&path).await?;
            let mut random = fastrand::Rng::with_seed(task);
            let mut took = Vec::new();
            let mut buf = Vec::with_capacity(READ);
            for _ in 0..READS / 4 {
                let at = random.u64(0..READ_FILE / READ as u64) * READ as u64;
                file.advise(at, READ as u64, Advice::DontNeed).await?;
                let began = Instant::now();
                buf.clear();
                buf = file.read_at(buf, at).await?.1;
                took.push(began.elapsed());
            }
            Ok::<_, io::Error>(took)
        }));
    }
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.map_err(io::Error::other)??);
    }
    Ok(percentile(&mut took, 0.99))
}

async fn reads_beside(folder: &Path, policy: Option<WritebackPolicy>) -> io::Result<(f64, f64)> {
    let (read, written) = (folder.join("read"), folder.join("written"));
    if !read.exists() {
        let file = File::create(&read).await?;
        for at in 0..READ_FILE / PART as u64 {
            file.write_all_at(vec![1; PART], at * PART as u64).await?;
        }
        file.sync_all().await?;
    }
    let alone = reads(&read).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let (over, path) = (is_over.clone(), written.clone());
    let writer = tokio::spawn(async move {
        let file = File::create(&path).await?;
        let file = match policy {
            Some(policy) => file.with_writeback(policy),
            None => file,
        };
        for at in 0.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            file.write_all_at(vec![2; PART], at % 512 * PART as u64)
                .await?;
            if at % 8 == 7 {
                file.sync_data().await?;
            }
        }
        file.close().await
    });
    let beside = reads(&read).await?;
    is_over.store(true, Ordering::Relaxed);
    writer.await.map_err(io::Error::other)??;
    std::fs::remove_file(written)?;
    Ok((alone, beside))
}

#[tokio::main(worker_threads = 2)]
async fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let mib: usize = args.next().and_then(|mib| mib.parse().ok()).unwrap_or(1024);
    let streams: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let rounds: usize = args.next().and_then(|n| n.parse().ok()).unwrap_or(3);
    let names = args.next().unwrap_or_default();
    let is_wanted = |name: &str| names.is_empty() || names.split(',').any(|part| name == part);
    let ways: Vec<Way> = WAYS
        .into_iter()
        .filter(|way| is_wanted(&format!("{way:?}")))
        .collect();
    let dir = tempfile::tempdir_in(folder)?;
    println!("{mib} MiB, {streams} streams, {rounds} rounds");
    println!("| way | MB/s | p99.9 ms | worst ms | peak MB | CPU s |\n|---|---|---|---|---|---|");
    let mut all: Vec<Vec<Shown>> = ways.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (way, shown) in ways.iter().zip(&mut all) {
            shown.push(round(dir.path(), mib, streams, *way).await?);
        }
    }
    for (way, shown) in ways.iter().zip(&all) {
        let of = |one: fn(&Shown) -> f64| median(shown.iter().map(one));
        println!(
            "| {way:?} | {:.0} | {:.2} | {:.1} | {:.0} | {:.2} |",
            of(|one| one.rate),
            of(|one| one.p999_ms),
            of(|one| one.worst_ms),
            of(|one| one.peak_mb),
            of(|one| one.cpu_s),
        );
    }
    if is_wanted("reads") {
        show_reads(dir.path(), rounds).await?;
    }
    Ok(())
}

async fn show_reads(folder: &Path, rounds: usize) -> io::Result<()> {
    println!("\n| beside a writer that syncs | alone | beside |\n|---|---|---|");
    for (name, policy) in [("plain", None), ("bounded", Some(WritebackPolicy::new()))] {
        let mut all = Vec::new();
        for _ in 0..rounds {
            all.push(reads_beside(folder, policy).await?);
        }
        let alone = median(all.iter().map(|round| round.0));
        let beside = median(all.iter().map(|round| round.1));
        println!("| {name} | {alone:.2} | {beside:.2} |");
    }
    Ok(())
}
