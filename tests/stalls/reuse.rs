//! Numbers of descriptors that are used again while reads of the files before wait in a queue.

use std::fs as std_fs;
use std::path::PathBuf;

use tidegate::OpExt;
use tidegate::fs::File;
use tidegate_rig::{Request, StalledFuse};

use crate::stage::{
    HOLD_MAX, Outcome, Way, drained, ensure, held, in_time, slow, tree_of_known_names,
};

/// Kernel workers of a lane, and threads of a mount's pool.
const WORKERS: usize = 64;
const ROUNDS: usize = 100;
const READS: usize = 100;
const BYTES: usize = 4096;

fn path(tree: &StalledFuse, index: usize) -> PathBuf {
    tree.path().join(format!("quick-{index}"))
}

/// What the file of that number has, and no other.
fn content(index: usize) -> Vec<u8> {
    (index as u32).to_ne_bytes().repeat(BYTES / 4)
}

/// A read whose file is dropped while it waits behind stuck ones, with its number free for other files if it
/// were closed: it gets the bytes of its own file, ten thousand times.
pub(crate) fn fd_reuse_async(way: Way) -> Outcome {
    let tree = tree_of_known_names(WORKERS)?;
    for index in 0..2 * READS {
        let path = tree.backing_path().join(format!("quick-{index}"));
        std_fs::write(path, content(index))?;
    }
    way.run(async |handle| {
        let mut queued = 0;
        for _ in 0..ROUNDS {
            queued += round(&tree).await?;
            drained(&handle).await?;
        }
        println!(
            "    {}: {queued} of {} reads waited",
            way.name,
            ROUNDS * READS
        );
        Ok(ensure(queued > 0, "none waited, so this shows nothing")?)
    })
}

async fn round(tree: &StalledFuse) -> Result<usize, libtest_mimic::Failed> {
    let (mut files, mut queued) = (Vec::new(), Vec::new());
    for index in 0..WORKERS {
        files.push(File::open(slow(tree, index)).await?);
    }
    for index in 0..READS {
        queued.push(File::open(path(tree, index)).await?);
    }
    let guard = tree.hold(&[Request::Read], "/slow")?;
    let stuck: Vec<_> = files
        .into_iter()
        .map(|file| tokio::spawn(file.read_at(vec![0; 10], 0).timeout(HOLD_MAX)))
        .collect();
    held(tree, WORKERS as u64).await?;
    let mut reads = Vec::new();
    for file in queued {
        reads.push(tokio::spawn(file.read_exact_at(vec![0; BYTES], 0)));
        tokio::task::yield_now().await;
    }
    let mut others = Vec::new();
    for index in READS..2 * READS {
        others.push(std_fs::File::open(path(tree, index))?);
    }
    let waited = reads.iter().filter(|read| !read.is_finished()).count();
    guard.release()?;
    for (index, read) in reads.into_iter().enumerate() {
        let bytes = in_time("a read", read).await??.map_err(|e| e.error)?;
        ensure(
            bytes == content(index),
            format!("the bytes of another file: {:?}", &bytes[..4]),
        )?;
    }
    for read in stuck {
        in_time("a stuck read", read).await??.map_err(|e| e.error)?;
    }
    Ok(waited)
}
