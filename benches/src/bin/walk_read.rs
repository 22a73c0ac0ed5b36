//! Walking a tree of small files and reading each of them whole, as a backup does, beside what others do:
//! `cargo run --release -p tidegate-benches --bin walk_read`.
//!
//! Makes 165 000 files of up to 4 KiB in 330 directories, and reads them in rounds that take turns. Prints files per
//! second, processor time per file, and the ratio to one thread that makes the calls of `tar`; medians. `--cold` drops
//! the caches before each, which takes root.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use futures_core::Stream;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tidegate::fs::{Expected, FileKind, WalkDir};
use tokio::task::JoinSet;

#[derive(Debug, Parser)]
struct Arguments {
    /// How many rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many files.
    #[arg(long, default_value_t = 165_000)]
    files: usize,
    /// Drop the caches before each.
    #[arg(long)]
    cold: bool,
    /// Only those whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
}

const FILES_EACH: usize = 500;
/// Files that are read at a time, where each is a task of its own.
const TASKS: usize = 32;
/// Files of a batch, and batches at a time.
const BATCH: usize = 256;
const BATCHES: usize = 2;

/// Files that were read, and their bytes.
type Told = (u64, u64);
type Way = fn(&Path) -> Told;

const WAYS: [(&str, Way); 7] = [
    ("tar's calls, one thread", tar),
    ("tidegate, map", ours_map),
    ("tidegate, batches", ours_batches),
    ("tidegate, read_unchanged", ours_unchanged),
    ("tidegate, read", ours_read),
    ("tokio::fs, 32 tasks", tokio_tasks),
    ("tokio::fs, one by one", tokio_loop),
];

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let made = tempfile::TempDir::new_in(".")?;
    for at in 0..arguments.files {
        let dir = made
            .path()
            .join(format!("directory-{:03}", at / FILES_EACH));
        if at % FILES_EACH == 0 {
            std::fs::create_dir(&dir)?;
        }
        let content = vec![b'x'; at * 97 % 4096];
        std::fs::write(dir.join(format!("file-{at}")), content)?;
    }
    nix::unistd::sync();
    let chosen = WAYS.into_iter();
    let chosen: Vec<_> = chosen
        .filter(|(name, _)| name.contains(&arguments.only))
        .collect();
    let mut found: Vec<Vec<(f64, f64)>> = vec![Vec::new(); chosen.len()];
    let mut expected = None;
    for round in 0..=arguments.rounds {
        for (at, (name, way)) in chosen.iter().enumerate() {
            if arguments.cold {
                std::fs::write("/proc/sys/vm/drop_caches", "3")?;
            }
            let (began, cpu) = (Instant::now(), processor_time());
            let told = way(made.path());
            let (took, cpu) = (began.elapsed(), processor_time() - cpu);
            assert_eq!(*expected.get_or_insert(told), told, "{name}");
            // The first round warms up.
            if round > 0 || arguments.cold {
                let each = cpu.as_secs_f64() * 1e6 / told.0 as f64;
                found[at].push((told.0 as f64 / took.as_secs_f64(), each));
            }
        }
    }
    println!("{} files, medians", arguments.files);
    println!("| way | files/s | CPU µs each | × tar's |");
    println!("|---|---|---|---|");
    let mut first = None;
    for ((name, _), rounds) in chosen.iter().zip(&mut found) {
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (rate, each) = rounds[rounds.len() / 2];
        let ratio = rate / *first.get_or_insert(rate);
        println!("| {name} | {:.0} k | {each:.2} | {ratio:.2} |", rate / 1e3);
    }
    Ok(())
}

fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process has usage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros as u64)
}

fn on_runtime<F: Future>(future: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

/// Attributes by name, open, attributes, content, attributes again.
fn tar(root: &Path) -> Told {
    use std::io::Read;
    let (mut files, mut bytes, mut dirs) = (0, 0, vec![root.to_path_buf()]);
    let mut content = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory") {
            let entry = entry.expect("an entry");
            if entry.metadata().expect("metadata").is_dir() {
                dirs.push(entry.path());
                continue;
            }
            let mut file = std::fs::File::open(entry.path()).expect("a file");
            content.resize(file.metadata().expect("metadata").size() as usize, 0);
            file.read_exact(&mut content).expect("content");
            file.metadata().expect("metadata");
            files += 1;
            bytes += std::hint::black_box(&content).len() as u64;
        }
    }
    (files, bytes)
}

/// The threads that walk read as well.
fn ours_map(root: &Path) -> Told {
    on_runtime(async {
        let bytes = std::sync::Arc::new(AtomicU64::new(0));
        let sum = bytes.clone();
        let mut walk = WalkDir::new(root).metadata(true).map(move |entry| {
            let is_file = entry.kind() == FileKind::File;
            is_file.then(|| {
                let content = std::fs::read(entry.path()).expect("content");
                sum.fetch_add(content.len() as u64, Ordering::Relaxed);
            })
        });
        let mut files = 0;
        while let Some(file) = next(&mut walk).await {
            file.expect("a file");
            files += 1;
        }
        (files, bytes.load(Ordering::Relaxed))
    })
}

/// What the walk has found is read by the batch.
fn ours_batches(root: &Path) -> Told {
    on_runtime(async {
        let mut walk = WalkDir::new(root).metadata(true).walk();
        let (mut batches, mut files) = (JoinSet::new(), Vec::new());
        let mut told = (0, 0);
        loop {
            let entry = next(&mut walk).await.transpose().expect("an entry");
            let is_last = entry.is_none();
            if let Some(entry) = entry.filter(|entry| entry.kind() == FileKind::File) {
                let expected = Expected::from(entry.metadata().expect("metadata"));
                files.push((entry.path(), expected));
            }
            if files.len() == BATCH || is_last {
                if batches.len() >= BATCHES {
                    add_all(&mut told, batches.join_next().await);
                }
                let files = std::mem::take(&mut files);
                batches.spawn(tidegate::fs::batch().read_unchanged(files));
            }
            if is_last {
                break;
            }
        }
        while let Some(read) = batches.join_next().await {
            add_all(&mut told, Some(read));
        }
        told
    })
}

fn add_all(
    told: &mut Told,
    read: Option<Result<Vec<io::Result<Vec<u8>>>, tokio::task::JoinError>>,
) {
    for content in read.expect("a task").expect("its end") {
        add(told, Some(Ok(content)));
    }
}

fn ours<F>(root: &Path, read: impl Fn(PathBuf, Expected) -> F) -> Told
where
    F: Future<Output = io::Result<Vec<u8>>> + Send + 'static,
{
    on_runtime(async {
        let mut walk = WalkDir::new(root).metadata(true).walk();
        let mut tasks = JoinSet::new();
        let mut told = (0, 0);
        while let Some(entry) = next(&mut walk).await {
            let entry = entry.expect("an entry");
            if entry.kind() != FileKind::File {
                continue;
            }
            let expected = Expected::from(entry.metadata().expect("metadata"));
            if tasks.len() >= TASKS {
                add(&mut told, tasks.join_next().await);
            }
            tasks.spawn(read(entry.path(), expected));
        }
        while let Some(content) = tasks.join_next().await {
            add(&mut told, Some(content));
        }
        told
    })
}

fn ours_unchanged(root: &Path) -> Told {
    ours(root, |path, expected| async move {
        tidegate::fs::read_unchanged(&path, &expected).await
    })
}

fn ours_read(root: &Path) -> Told {
    ours(
        root,
        |path, _| async move { tidegate::fs::read(&path).await },
    )
}

type Joined = Result<io::Result<Vec<u8>>, tokio::task::JoinError>;

fn add(told: &mut Told, content: Option<Joined>) {
    let content = content.expect("a task").expect("its end").expect("content");
    told.0 += 1;
    told.1 += std::hint::black_box(content).len() as u64;
}

fn tokio_tasks(root: &Path) -> Told {
    on_runtime(async {
        let (mut told, mut dirs) = ((0, 0), vec![root.to_path_buf()]);
        let mut tasks = JoinSet::new();
        while let Some(dir) = dirs.pop() {
            let mut entries = tokio::fs::read_dir(&dir).await.expect("a directory");
            while let Some(entry) = entries.next_entry().await.expect("an entry") {
                if entry.metadata().await.expect("metadata").is_dir() {
                    dirs.push(entry.path());
                    continue;
                }
                if tasks.len() >= TASKS {
                    add(&mut told, tasks.join_next().await);
                }
                tasks.spawn(tokio::fs::read(entry.path()));
            }
        }
        while let Some(content) = tasks.join_next().await {
            add(&mut told, Some(content));
        }
        told
    })
}

fn tokio_loop(root: &Path) -> Told {
    on_runtime(async {
        let (mut told, mut dirs) = ((0, 0), vec![root.to_path_buf()]);
        while let Some(dir) = dirs.pop() {
            let mut entries = tokio::fs::read_dir(&dir).await.expect("a directory");
            while let Some(entry) = entries.next_entry().await.expect("an entry") {
                if entry.metadata().await.expect("metadata").is_dir() {
                    dirs.push(entry.path());
                    continue;
                }
                let content = tokio::fs::read(entry.path()).await;
                add(&mut told, Some(Ok(content)));
            }
        }
        told
    })
}
