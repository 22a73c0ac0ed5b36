//! What registered and provided buffers, and direct descriptors, are worth: `cargo run --release -p
//! tidegate-benches --bin buffers -- FOLDER`.

mod bytes;
mod fixed;
mod pipes;
mod size;
mod small_files;

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use futures_core::Stream;
use tokio::runtime::{Builder, Runtime};

const FILE_BYTES: u64 = 512 << 20;

/// All comparisons whose names contain one of the words, or all of them where there is no word.
///
/// # Errors
///
/// Those of making files and of the operations that are compared.
pub fn run(folder: &Path, words: &[String], rounds: usize) -> io::Result<()> {
    let folder = tempfile::TempDir::new_in(folder)?;
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(&**word));
    if wanted("fixed") {
        fixed::run(&large_file(folder.path())?, rounds)?;
    }
    if wanted("pipe") {
        pipes::run(rounds)?;
    }
    if wanted("size") {
        size::run(&large_file(folder.path())?, rounds)?;
    }
    if wanted("small-files") {
        small_files::run(folder.path(), rounds)?;
    }
    if wanted("bytes") {
        bytes::run(&large_file(folder.path())?, rounds)?;
    }
    Ok(())
}

/// A runtime with as many threads as the machine has processors, and with a handle of its own.
fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

/// A file on the disk, made once.
fn large_file(folder: &Path) -> io::Result<PathBuf> {
    let path = folder.join("large");
    if path.exists() {
        return Ok(path);
    }
    let file = File::create_new(&path)?;
    let block = vec![7; 1 << 20];
    for offset in (0..FILE_BYTES).step_by(block.len()) {
        file.write_all_at(&block, offset)?;
    }
    file.sync_all()?;
    Ok(path)
}

/// The next item.
async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}
