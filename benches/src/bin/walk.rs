//! Walking a tree with full metadata, beside what others do: `cargo run --release -p tidegate-benches --bin walk`.
//!
//! Makes a tree of 100 000 files in 100 directories, or takes the one that `--root` names, and walks it in rounds that
//! take turns. Prints entries per second, processor time per entry, and the ratio to the fastest peer; medians.
//! `--cold` drops the caches before each walk, which takes root.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use futures_core::Stream;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

#[derive(Debug, Parser)]
struct Arguments {
    /// Walk this tree instead of one that is made.
    #[arg(long)]
    root: Option<PathBuf>,
    /// How many rounds.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Drop the caches before each walk.
    #[arg(long)]
    cold: bool,
    /// Threads of each.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Only those whose name has one of these in it, with commas between.
    #[arg(long, default_value = "", value_delimiter = ',')]
    only: Vec<String>,
}

type Walker = fn(&Path, usize) -> u64;

const WALKERS: [(&str, Walker); 9] = [
    ("tidegate", ours),
    ("tidegate map", ours_map),
    ("plain loop", plain),
    ("walkdir", walkdir),
    ("ignore", ignore),
    ("jwalk", jwalk),
    ("tokio::fs", tokio_fs),
    ("async-walkdir", async_walkdir),
    ("tidegate read_dir", read_dir),
];

fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let made = tempfile::TempDir::new_in(".")?;
    let root = match &arguments.root {
        Some(root) => root.clone(),
        None => {
            make(made.path())?;
            made.path().to_path_buf()
        }
    };
    let chosen: Vec<_> = WALKERS
        .into_iter()
        .filter(|(name, _)| arguments.only.iter().any(|only| name.contains(only)))
        .collect();
    let mut found: Vec<Vec<(f64, f64)>> = vec![Vec::new(); chosen.len()];
    let mut entries = 0;
    for round in 0..=arguments.rounds {
        for (at, (name, walker)) in chosen.iter().enumerate() {
            if arguments.cold {
                nix::unistd::sync();
                std::fs::write("/proc/sys/vm/drop_caches", "3")?;
            }
            let (began, cpu) = (Instant::now(), processor_time());
            let count = walker(&root, arguments.threads);
            let (took, cpu) = (began.elapsed(), processor_time() - cpu);
            if entries != 0 && entries != count {
                eprintln!("{name} found {count}, others {entries}");
            }
            entries = count;
            // The first round warms up.
            if round > 0 {
                let each = cpu.as_secs_f64() * 1e6 / count as f64;
                found[at].push((count as f64 / took.as_secs_f64(), each));
            }
        }
    }
    report(&chosen, &mut found, entries);
    Ok(())
}

fn report(chosen: &[(&str, Walker)], found: &mut [Vec<(f64, f64)>], entries: u64) {
    let medians: Vec<_> = found
        .iter_mut()
        .map(|rounds| {
            rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
            rounds[rounds.len() / 2]
        })
        .collect();
    let peers = chosen
        .iter()
        .zip(&medians)
        .filter(|((name, _), _)| !name.starts_with("tidegate"));
    let best = peers.map(|(_, median)| median.0).fold(0.0, f64::max);
    println!("{entries} entries, medians");
    println!("| walker | entries/s | CPU µs each | × fastest peer |");
    println!("|---|---|---|---|");
    for ((name, _), (rate, each)) in chosen.iter().zip(&medians) {
        println!(
            "| {name} | {:.0} k | {each:.2} | {:.2} |",
            rate / 1e3,
            rate / best
        );
    }
}

fn make(root: &Path) -> std::io::Result<()> {
    for dir in 0..100 {
        let dir = root.join(format!("directory-{dir:03}"));
        std::fs::create_dir(&dir)?;
        for file in 0..1000 {
            std::fs::File::create(dir.join(format!("file-{file:04}.txt")))?;
        }
    }
    Ok(())
}

fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process has usage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros as u64)
}

fn on_runtime<F: Future>(threads: usize, future: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(threads).enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut *stream).poll_next(cx)).await
}

fn ours(root: &Path, threads: usize) -> u64 {
    use std::os::unix::fs::MetadataExt;
    on_runtime(threads, async {
        let threads = threads.try_into().expect("some threads");
        let walk = tidegate::fs::WalkDir::new(root)
            .metadata(true)
            .threads(threads);
        let (mut walk, mut count, mut bytes) = (walk.walk(), 0, 0);
        while let Some(entry) = next(&mut walk).await {
            bytes += entry
                .expect("an entry")
                .metadata()
                .expect("metadata")
                .size();
            count += 1;
        }
        std::hint::black_box(bytes);
        count
    })
}

fn ours_map(root: &Path, threads: usize) -> u64 {
    on_runtime(threads, async {
        let threads = threads.try_into().expect("some threads");
        let walk = tidegate::fs::WalkDir::new(root)
            .metadata(true)
            .threads(threads);
        let mut walk = walk.map(|entry| entry.size());
        let (mut count, mut bytes) = (0, 0);
        while let Some(size) = next(&mut walk).await {
            bytes += size.expect("a size");
            count += 1;
        }
        std::hint::black_box(bytes);
        count
    })
}

fn plain(root: &Path, _threads: usize) -> u64 {
    let (mut count, mut dirs) = (1, vec![root.to_path_buf()]);
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory") {
            let entry = entry.expect("an entry");
            count += 1;
            if std::hint::black_box(entry.metadata().expect("metadata")).is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    count
}

fn walkdir(root: &Path, _threads: usize) -> u64 {
    let entries = walkdir::WalkDir::new(root).into_iter();
    let each = |entry: walkdir::Result<walkdir::DirEntry>| {
        std::hint::black_box(entry.expect("an entry").metadata().expect("metadata"));
    };
    entries.map(each).count() as u64
}

fn ignore(root: &Path, threads: usize) -> u64 {
    let count = AtomicU64::new(0);
    let mut builder = ignore::WalkBuilder::new(root);
    builder.standard_filters(false).threads(threads);
    builder.build_parallel().run(|| {
        Box::new(|entry| {
            std::hint::black_box(entry.expect("an entry").metadata().expect("metadata"));
            count.fetch_add(1, Ordering::Relaxed);
            ignore::WalkState::Continue
        })
    });
    count.into_inner()
}

fn jwalk(root: &Path, threads: usize) -> u64 {
    let walk = jwalk::WalkDirGeneric::<((), Option<u64>)>::new(root).skip_hidden(false);
    let walk = walk.parallelism(jwalk::Parallelism::RayonNewPool(threads));
    let walk = walk.process_read_dir(|_, _, _, entries| {
        for entry in entries.iter_mut().flatten() {
            entry.client_state = entry.metadata().ok().map(|metadata| metadata.len());
        }
    });
    let mut count = 0;
    for entry in walk {
        std::hint::black_box(entry.expect("an entry").client_state);
        count += 1;
    }
    count
}

fn tokio_fs(root: &Path, threads: usize) -> u64 {
    on_runtime(threads, async {
        let (mut count, mut dirs) = (1, vec![root.to_path_buf()]);
        while let Some(dir) = dirs.pop() {
            let mut entries = tokio::fs::read_dir(&dir).await.expect("a directory");
            while let Some(entry) = entries.next_entry().await.expect("an entry") {
                count += 1;
                if entry.metadata().await.expect("metadata").is_dir() {
                    dirs.push(entry.path());
                }
            }
        }
        count
    })
}

fn read_dir(root: &Path, threads: usize) -> u64 {
    on_runtime(threads, async {
        let (mut count, mut dirs) = (1, vec![root.to_path_buf()]);
        while let Some(dir) = dirs.pop() {
            let mut entries = tidegate::fs::read_dir(&dir).await.expect("a directory");
            while let Some(entry) = entries.next_entry().await.expect("an entry") {
                count += 1;
                if entry.metadata().await.expect("metadata").is_dir() {
                    dirs.push(entry.path());
                }
            }
        }
        count
    })
}

fn async_walkdir(root: &Path, threads: usize) -> u64 {
    on_runtime(threads, async {
        let (mut count, mut walk) = (1, async_walkdir::WalkDir::new(root));
        while let Some(entry) = next(&mut walk).await {
            std::hint::black_box(entry.expect("an entry").metadata().await.expect("metadata"));
            count += 1;
        }
        count
    })
}
