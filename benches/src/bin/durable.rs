//! What it takes to make writes last: whole files, logs, and many files at a time.
//!
//! `cargo run --release -p tidegate-benches --bin durable -- --help`

use std::path::PathBuf;

use clap::Parser;

/// Compares ways to do the same thing, in turns; medians of the rounds, and ratios to the first way.
#[derive(Parser)]
struct Options {
    /// A folder on the disk that is meant.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// How often each way has its turn.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// What to compare: atomic, append, batch, ingest, sync, or all of them.
    words: Vec<String>,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    #[cfg(target_os = "linux")]
    return tidegate_benches::durable::run(&options.folder, &options.words, options.rounds);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = options;
        Err(std::io::ErrorKind::Unsupported.into())
    }
}
