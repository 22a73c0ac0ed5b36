//! Adds up the sizes of all files of a tree, a bounded number of directories at a time.
//!
//! ```sh
//! cargo run --example walk
//! cargo run --example walk -- DIRECTORY
//! ```

use std::io;
use std::path::PathBuf;

use tidegate::fs;
use tokio::task::JoinSet;

/// Directories that are read at the same time. Past some 16 a local disk gives no more; a network
/// filesystem does.
const DIRECTORIES_AT_A_TIME: usize = 16;

/// What was found in one directory.
#[derive(Default)]
struct Found {
    directories: Vec<PathBuf>,
    files: u64,
    bytes: u64,
}

async fn look(path: PathBuf) -> io::Result<Found> {
    let mut found = Found::default();
    let mut entries = fs::read_dir(&path).await?;
    while let Some(entry) = entries.next_entry().await? {
        // Mostly known from the directory itself, so that nothing is asked. Links are not followed.
        let file_type = entry.file_type().await?;
        if file_type.is_dir() {
            found.directories.push(entry.path());
        } else if file_type.is_file() {
            found.files += 1;
            found.bytes += entry.metadata().await?.len();
        }
    }
    Ok(found)
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let root = std::env::args().nth(1);
    let root = root.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/src").into());

    let mut waiting = vec![PathBuf::from(&root)];
    let mut looking = JoinSet::new();
    let mut total = Found::default();
    loop {
        while looking.len() < DIRECTORIES_AT_A_TIME {
            let Some(path) = waiting.pop() else { break };
            looking.spawn(async move { (path.clone(), look(path).await) });
        }
        let Some(looked) = looking.join_next().await else {
            break;
        };
        match looked? {
            (_, Ok(found)) => {
                waiting.extend(found.directories);
                total.files += found.files;
                total.bytes += found.bytes;
            }
            // Gone meanwhile, or not ours to read: told, and not the end of the walk.
            (path, Err(error)) => eprintln!("{}: {error}", path.display()),
        }
    }
    println!("{root}: {} files, {} bytes", total.files, total.bytes);
    Ok(())
}
