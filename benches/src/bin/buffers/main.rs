//! What the crate's uses of registered things cost: `cargo run --release -p tidegate-benches --bin buffers -- ROWS`.
//!
//! Each set of rows is a module. Engines take turns, in another order in each round; medians are printed.

mod small_files;

use std::io;
use std::time::Duration;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "What registered buffers and files cost and save")]
struct Options {
    #[command(subcommand)]
    rows: Rows,
}

#[derive(Subcommand)]
enum Rows {
    /// Many small files, each read as a whole.
    SmallFiles(small_files::Options),
}

fn main() -> io::Result<()> {
    match Options::parse().rows {
        Rows::SmallFiles(options) => small_files::run(&options),
    }
}

fn median(durations: &mut [Duration]) -> Duration {
    durations.sort_unstable();
    durations[durations.len() / 2]
}
