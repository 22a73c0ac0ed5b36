//! What it takes to make writes last: `cargo run --release -p tidegate-benches --bin durable -- FOLDER`.

mod append;
mod atomic;
mod batch;
mod ingest;
mod sync;

use std::io;
use std::path::Path;

use tokio::runtime::{Builder, Runtime};

/// All comparisons whose names contain one of the words, or all of them where there is no word.
///
/// # Errors
///
/// Those of making files and of the operations that are compared.
pub fn run(folder: &Path, words: &[String], rounds: usize) -> io::Result<()> {
    let folder = tempfile::TempDir::new_in(folder)?;
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(&**word));
    if wanted("atomic") {
        atomic::run(folder.path(), rounds)?;
    }
    if wanted("append") {
        append::run(folder.path(), rounds)?;
    }
    if wanted("batch") {
        batch::run(folder.path(), rounds)?;
    }
    if wanted("ingest") {
        ingest::run(folder.path(), rounds)?;
    }
    if wanted("sync") {
        sync::run(folder.path(), rounds)?;
    }
    Ok(())
}

/// A runtime with as many threads as the machine has processors, and with a handle of its own.
fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}
