//! Batches beside plain loops: `cargo run --release -p tidegate-benches --bin batches [FOLDER [hot|cold|links]]`.
//!
//! The attributes of 100 000 files in 100 directories, hot, and cold after the caches were dropped (as root), and
//! 15 000 hard links in 15 directories. Rounds of all ways take turns; medians in microseconds per entry, of time and of
//! processor time, each with its ratio to the first way. In `/dev/shm` links cost nearly nothing by themselves.

use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tidegate::fs::{self, StatxMask, StatxOptions};

const ROUNDS: usize = 7;
const DIRS: usize = 100;
const FILES: usize = 100_000;
const LINKS: usize = 15_000;

/// One way, and its times.
struct Way {
    name: String,
    micros: Vec<f64>,
    cpu_micros: Vec<f64>,
}

/// When something began, and how much processor time the process had had by then.
struct Begun(Instant, Duration);

impl Begun {
    fn now() -> Begun {
        Begun(Instant::now(), processor_time())
    }
}

fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process has usage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros as u64)
}

fn median(of: &mut [f64]) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

#[derive(Default)]
struct Table(Vec<Way>);

impl Table {
    fn add(&mut self, name: impl Into<String>, begun: &Begun, entries: usize) {
        let each = |took: Duration| took.as_secs_f64() * 1e6 / entries as f64;
        let (took, cpu) = (each(begun.0.elapsed()), each(processor_time() - begun.1));
        let name = name.into();
        let at = self.0.iter().position(|way| way.name == name);
        let at = at.unwrap_or_else(|| {
            self.0.push(Way {
                name,
                micros: Vec::new(),
                cpu_micros: Vec::new(),
            });
            self.0.len() - 1
        });
        self.0[at].micros.push(took);
        self.0[at].cpu_micros.push(cpu);
    }

    fn print(&mut self, title: &str) {
        println!("{title}");
        let mut first = None;
        for way in &mut self.0 {
            let (took, cpu) = (median(&mut way.micros), median(&mut way.cpu_micros));
            let first = *first.get_or_insert((took, cpu));
            let ratios = (took / first.0, cpu / first.1);
            println!(
                "  {:<24} {took:>9.3}  {:>6.2}   cpu {cpu:>9.3}  {:>6.2}",
                way.name, ratios.0, ratios.1
            );
        }
    }
}

fn loop_of(paths: &[PathBuf]) {
    for path in paths {
        black_box(std::fs::metadata(path).is_ok());
    }
}

/// The same loop on several threads, which share the paths.
fn loops_of(paths: &[PathBuf], threads: usize) {
    std::thread::scope(|scope| {
        for part in paths.chunks(paths.len().div_ceil(threads)) {
            scope.spawn(move || loop_of(part));
        }
    });
}

async fn batch_of(paths: &[PathBuf], at_once: Option<usize>) {
    let options = StatxOptions::new().mask(StatxMask::BASIC);
    let mut batch = fs::batch();
    if let Some(at_once) = at_once {
        batch = batch.at_once(at_once);
    }
    let found = batch.metadata(paths, &options).await;
    assert!(black_box(found).iter().all(|found| found.is_ok()));
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::with_capacity(FILES);
    for dir in 0..DIRS {
        let dir = folder.join(format!("dir-{dir:03}"));
        std::fs::create_dir(&dir)?;
        for file in 0..FILES / DIRS {
            let path = dir.join(format!("file-{file:05}"));
            std::fs::File::create(&path)?;
            paths.push(path);
        }
    }
    Ok(paths)
}

fn drop_caches() -> io::Result<()> {
    nix::unistd::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "3")
}

async fn hot(paths: &[PathBuf]) {
    let mut table = Table::default();
    loop_of(paths);
    for _ in 0..ROUNDS {
        let begun = Begun::now();
        loop_of(paths);
        table.add("std, 1 thread", &begun, FILES);
        let begun = Begun::now();
        loops_of(paths, 2);
        table.add("std, 2 threads", &begun, FILES);
        for at_once in [Some(1), None] {
            let begun = Begun::now();
            batch_of(paths, at_once).await;
            let name = at_once.map_or("a batch".into(), |at_once| {
                format!("a batch, at once {at_once}")
            });
            table.add(name, &begun, FILES);
        }
    }
    table.print("attributes, hot");
}

async fn cold(paths: &[PathBuf]) {
    let mut table = Table::default();
    for _ in 0..3 {
        for threads in [1, 2, 4, 8, 16] {
            if drop_caches().is_err() {
                return println!("attributes, cold: the caches cannot be dropped");
            }
            let begun = Begun::now();
            loops_of(paths, threads);
            table.add(format!("std, {threads} threads"), &begun, FILES);
        }
        let _ = drop_caches();
        let begun = Begun::now();
        batch_of(paths, None).await;
        table.add("a batch", &begun, FILES);
    }
    table.print("attributes, cold");
}

fn pairs(folder: &Path, round: &str) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    for dir in 0..15 {
        std::fs::create_dir(folder.join(format!("{round}-{dir}")))?;
    }
    let link = |index: usize| folder.join(format!("{round}-{}/link-{index}", index * 15 / LINKS));
    let original = |index: usize| folder.join(format!("original-{}", index % 100));
    Ok((0..LINKS)
        .map(|index| (original(index), link(index)))
        .collect())
}

async fn links(folder: &Path) -> io::Result<()> {
    for index in 0..100 {
        std::fs::write(folder.join(format!("original-{index}")), b"")?;
    }
    let mut table = Table::default();
    for round in 0..ROUNDS {
        for way in [
            "std, 1 thread",
            "a batch",
            "a batch, at once 1",
            "tokio::fs, one by one",
        ] {
            let pairs = pairs(folder, "links")?;
            let begun = Begun::now();
            match way {
                "std, 1 thread" => {
                    for (original, link) in &pairs {
                        std::fs::hard_link(original, link)?;
                    }
                }
                "tokio::fs, one by one" => {
                    for (original, link) in &pairs {
                        tokio::fs::hard_link(original, link).await?;
                    }
                }
                way => {
                    let batch = fs::batch();
                    let batch = if way == "a batch" {
                        batch
                    } else {
                        batch.at_once(1)
                    };
                    let links = pairs.iter().map(|(original, link)| (original, link));
                    for made in batch.hard_links(links).await {
                        made?;
                    }
                }
            }
            table.add(way, &begun, LINKS);
            let _ = round;
            for dir in 0..15 {
                std::fs::remove_dir_all(folder.join(format!("links-{dir}")))?;
            }
        }
    }
    table.print("hard links");
    Ok(())
}

async fn all(at: PathBuf, part: Option<String>) -> io::Result<()> {
    let folder = tempfile::TempDir::new_in(at)?;
    let is_wanted = |name| part.as_deref().is_none_or(|part| part == name);
    if is_wanted("hot") || is_wanted("cold") {
        let paths = files(folder.path())?;
        if is_wanted("hot") {
            hot(&paths).await;
        }
        if is_wanted("cold") {
            cold(&paths).await;
        }
    }
    match is_wanted("links") {
        true => links(folder.path()).await,
        false => Ok(()),
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> io::Result<()> {
    let at = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    // On a worker of the runtime, as programs do.
    tokio::spawn(all(at.into(), std::env::args().nth(2))).await?
}
