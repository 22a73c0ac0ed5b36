//! What a poll and a drop cost, beside `tokio::fs`: `cargo run --release -p tidegate-benches --bin polls [FOLDER]`.
//!
//! Rounds of tidegate and tokio take turns; the medians in microseconds per operation, and their ratio. First what is
//! in memory (reads, opens, metadata, whole files), then files that are made, written, flushed and dropped: new ones,
//! and ones that are truncated, whose close starts a write.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

const ROUNDS: usize = 9;
const OPS: usize = 4_000;
const FILES: usize = 400;
const FILE_BYTES: usize = 4096;

#[derive(Clone, Copy, Debug)]
enum What {
    Read,
    OpenDrop,
    Metadata,
    Whole,
    New,
    Replaced,
}

const ALL: [What; 6] = [
    What::Read,
    What::OpenDrop,
    What::Metadata,
    What::Whole,
    What::New,
    What::Replaced,
];

/// The same for both, which have the same names.
macro_rules! round {
    ($fs:path, $what:expr, $path:expr, $dir:expr) => {{
        use $fs as fs;
        let (path, dir): (&Path, &Path) = ($path, $dir);
        let mut buf = vec![0; FILE_BYTES];
        let mut file = fs::File::open(path).await?;
        file.read_exact(&mut buf).await?;
        let began = Instant::now();
        let mut count = OPS;
        match $what {
            What::Read => {
                for at in 0..OPS {
                    file.seek(std::io::SeekFrom::Start((at * 977 % 200) as u64 * 4096))
                        .await?;
                    black_box(file.read_exact(&mut buf).await?);
                }
            }
            What::OpenDrop => {
                for _ in 0..OPS {
                    black_box(fs::File::open(path).await?);
                }
            }
            What::Metadata => {
                for _ in 0..OPS {
                    black_box(fs::metadata(path).await?);
                }
            }
            What::Whole => {
                for _ in 0..OPS {
                    black_box(fs::read(dir.join("small")).await?);
                }
            }
            What::New | What::Replaced => {
                count = FILES;
                for at in 0..FILES {
                    let at = if let What::New = $what { at } else { at % 16 };
                    let mut file = fs::File::create(dir.join(format!("f-{at}"))).await?;
                    file.write_all(&buf).await?;
                    file.flush().await?;
                }
            }
        }
        let taken = began.elapsed();
        if let What::New = $what {
            for at in 0..FILES {
                std::fs::remove_file(dir.join(format!("f-{at}")))?;
            }
        }
        std::io::Result::Ok(taken.as_secs_f64() * 1e6 / count as f64)
    }};
}

async fn ours(what: What, path: PathBuf, dir: PathBuf) -> std::io::Result<f64> {
    round!(tidegate::fs, what, &path, &dir)
}

async fn tokios(what: What, path: PathBuf, dir: PathBuf) -> std::io::Result<f64> {
    round!(tokio::fs, what, &path, &dir)
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[tokio::main(worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let at = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let folder = tempfile::TempDir::new_in(at)?;
    let dir = folder.path().to_path_buf();
    let path = dir.join("file");
    std::fs::write(&path, vec![7; 1 << 20])?;
    std::fs::write(dir.join("small"), vec![7; FILE_BYTES])?;
    for path in [&path, &dir.join("small")] {
        std::fs::File::open(path)?.sync_all()?;
        std::fs::read(path)?;
    }
    println!(
        "{:<10} {:>10} {:>10} {:>7}",
        "", "tidegate", "tokio", "ratio"
    );
    for what in ALL {
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            // On a worker of the runtime, as programs do.
            let (path, dir) = (path.clone(), dir.clone());
            let both = (path.clone(), dir.clone());
            mine.push(tokio::spawn(ours(what, path, dir)).await??);
            theirs.push(tokio::spawn(tokios(what, both.0, both.1)).await??);
        }
        let (mine, theirs) = (median(&mut mine), median(&mut theirs));
        let name = format!("{what:?}");
        println!(
            "{name:<10} {mine:>10.2} {theirs:>10.2} {:>7.2}",
            mine / theirs
        );
    }
    Ok(())
}
