//! Reads into buffers that the kernel picks, where the server does not answer: what they hold meanwhile, and that
//! it comes back.

use std::path::Path;

use tidegate::buf::{BufGroup, ProvidedBuf};
use tidegate::fs::File;
use tidegate::{Handle, OpExt};
use tidegate_rig::{Request, StalledFuse};

use crate::stage::{
    FILE_BYTES, HOLD_MAX, LIMIT, Outcome, Way, drained, ensure, error_of, healthy_dir, held,
    in_time, quick, right_bytes, slow, still_held, timed_out, tree_of_known_names, until,
};

const STUCK: usize = 4;

fn group() -> Result<BufGroup, String> {
    let group = BufGroup::builder().count(STUCK).size(FILE_BYTES).build();
    group.map_err(|error| error.to_string())
}

/// Reads once, and says whether the ring had no buffer.
async fn read(path: &Path, group: &BufGroup) -> Result<ProvidedBuf, String> {
    let text = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).await.map_err(text)?;
    let buf = file.read_provided_at(group, 0).timeout(HOLD_MAX);
    let buf = in_time("a read", buf).await?.map_err(text)?;
    file.close().await.map_err(text)?;
    ensure(buf.len() == FILE_BYTES, "another length")?;
    right_bytes(0, &buf)?;
    Ok(buf)
}

/// All buffers can be had at once where `tree` is read.
async fn all_are_back(way: Way, tree: &StalledFuse, group: &BufGroup) -> Result<(), String> {
    let mut bufs = Vec::new();
    for _ in 0..STUCK {
        bufs.push(read(&quick(tree, 0), group).await?);
    }
    let plain = bufs.iter().filter(|buf| buf.is_plain()).count();
    let expected = if way.is_pool() { STUCK } else { 0 };
    ensure(plain == expected, format!("{plain} are plain"))
}

async fn slow_files(tree: &StalledFuse) -> Result<Vec<File>, std::io::Error> {
    let mut files = Vec::new();
    for index in 0..STUCK {
        files.push(File::open(slow(tree, index)).await?);
    }
    Ok(files)
}

/// Stuck reads hold all buffers of a group on their mount: other reads there go on without, and other mounts have
/// theirs.
pub(crate) fn stuck_reserve(way: Way) -> Outcome {
    let tree = tree_of_known_names(STUCK)?;
    let dir = healthy_dir()?;
    let healthy = dir.path().join("healthy");
    tidegate_rig::files::create(&healthy, FILE_BYTES as u64)?;
    way.run(async |handle| {
        let (group, files) = (group()?, slow_files(&tree).await?);
        all_are_back(way, &tree, &group).await?;
        let guard = tree.hold(&[Request::Read], "/slow")?;
        let begin = |file: &File| tokio::spawn(file.read_provided_at(&group, 0).timeout(HOLD_MAX));
        let stuck: Vec<_> = files.iter().map(begin).collect();
        held(&tree, STUCK as u64).await?;
        for _ in 0..STUCK {
            let elsewhere = read(&healthy, &group).await?;
            ensure(elsewhere.is_plain() == way.is_pool(), "starved elsewhere")?;
            let beside = read(&quick(&tree, 1), &group).await?;
            ensure(beside.is_plain(), "a buffer that a stuck read should hold")?;
        }
        still_held(|| tree.status(), STUCK as u64)?;
        guard.release()?;
        for read in stuck {
            let buf = in_time("a stuck read", read).await???;
            right_bytes(0, &buf)?;
            ensure(buf.is_plain() == way.is_pool(), "it held one")?;
        }
        drop(files);
        drained(&handle).await?;
        all_are_back(way, &tree, &group).await?;
        Ok(drained(&handle).await?)
    })
}

/// Reads that were given up hold their buffers, and a group that was dropped meanwhile its id, until the kernel lets
/// go of them.
pub(crate) fn given_up(way: Way) -> Outcome {
    let tree = tree_of_known_names(STUCK)?;
    way.run(async |handle| {
        let (group, files) = (group()?, slow_files(&tree).await?);
        let guard = tree.hold(&[Request::Read], "/slow")?;
        let begin = |file: &File| tokio::spawn(file.read_provided_at(&group, 0).timeout(LIMIT));
        let stuck: Vec<_> = files.iter().map(begin).collect();
        held(&tree, STUCK as u64).await?;
        for read in stuck {
            let result = in_time("a stuck read", read).await??;
            timed_out(&error_of("read", result)?)?;
        }
        let beside = read(&quick(&tree, 1), &group).await?;
        ensure(beside.is_plain(), "a buffer that the kernel has")?;
        drop((beside, files, group));
        still_held(|| tree.status(), STUCK as u64)?;
        let ids = |handle: &Handle| handle.stats().buffer_groups.in_flight;
        let kept = u64::from(!way.is_pool());
        ensure(ids(&handle) == kept, "the id is not kept")?;
        guard.release()?;
        drained(&handle).await?;
        Ok(until("the id comes back", || ids(&handle) == 0).await?)
    })
}
