//! What hangs on one mount, and work elsewhere and beside it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;
use tidegate::fs::{self, File, OpenOptions};
use tidegate::opcode::Kind;
use tidegate::{OpExt, OpState};
use tidegate_rig::{FsKind, HeldDisk, Request, Requirements, files};

use crate::stage::{
    FILE_BYTES, HOLD_MAX, LIMIT, Outcome, Way, current_thread, drained, ensure, healthy_dir, held,
    in_time, is_about, quick, right_bytes, slow, still_held, tree_of_known_names, until,
    until_blocking,
};
use crate::traces::{Running, Traces};

/// More than there are kernel workers of a ring.
const STUCK: usize = 80;
const WORKERS: u64 = 64;

/// Filesystems that answer: each kind that this machine has.
struct Healthy {
    disks: Vec<HeldDisk>,
    memory: TempDir,
}

impl Healthy {
    fn new() -> io::Result<Healthy> {
        let memory = healthy_dir()?;
        mount(
            Some("tmpfs"),
            memory.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            None::<&str>,
        )?;
        let mut healthy = Healthy {
            disks: Vec::new(),
            memory,
        };
        for kind in FsKind::ALL {
            if let [lack, ..] = Requirements::disk(kind).missing().as_slice() {
                println!("skip: {}: {lack}", kind.name());
                continue;
            }
            let disk = HeldDisk::new(kind, kind.size_bytes_min())?;
            healthy.disks.push(disk);
        }
        Ok(healthy)
    }

    fn dirs(&self) -> Vec<PathBuf> {
        let disks = self.disks.iter().map(HeldDisk::path);
        disks
            .chain([self.memory.path()])
            .map(Path::to_owned)
            .collect()
    }
}

impl Drop for Healthy {
    fn drop(&mut self) {
        // A file that was open a moment ago keeps it for another.
        let _ = umount2(self.memory.path(), MntFlags::MNT_DETACH);
    }
}

/// What a service does with a file, with the kernel's workers needed for most of it.
async fn work(dir: &Path, round: usize) -> io::Result<()> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let path = dir.join(format!("file-{round}"));
    let mut bytes = vec![0; FILE_BYTES];
    files::fill(0, &mut bytes);
    let file = File::create_new(&path).await?;
    file.write_all_at(bytes, 0).await?;
    file.sync_all().await?;
    file.close().await?;
    if fs::statx(&path).await?.size() != FILE_BYTES as u64 {
        return Err(wrong("wrong length".to_owned()));
    }
    let file = File::open(&path).await?;
    let bytes = file.read_exact_at(vec![0; FILE_BYTES], 0).await?;
    right_bytes(0, &bytes).map_err(wrong)?;
    file.close().await?;
    fs::rename(&path, dir.join("moved")).await?;
    fs::remove_file(dir.join("moved")).await
}

/// All kernel workers of a mount are stuck: what needs one elsewhere gets one.
pub(crate) fn hol_64_statx(way: Way) -> Outcome {
    let tree = tree_of_known_names(STUCK)?;
    let healthy = Healthy::new()?;
    way.run(async |handle| {
        let guard = tree.hold(&[Request::Getattr], "/slow")?;
        let stuck: Vec<_> = (0..STUCK)
            .map(|index| tokio::spawn(fs::statx(slow(&tree, index)).timeout(HOLD_MAX)))
            .collect();
        held(&tree, WORKERS).await?;
        for dir in healthy.dirs() {
            for round in 0..5 {
                let done = in_time("work elsewhere", work(&dir, round)).await;
                done?.map_err(|error| format!("{}: {error}", dir.display()))?;
            }
        }
        still_held(|| tree.status(), WORKERS)?;
        guard.release()?;
        for stat in stuck {
            in_time("a stuck statx", stat).await???;
        }
        Ok(drained(&handle).await?)
    })
}

/// The kernel writes one after the other what falls into the same of its 64 queues: one stuck write must not
/// stand in any that others use.
pub(crate) fn hash_collision(way: Way) -> Outcome {
    const FILES: usize = 2000;
    const AT_ONCE: usize = 32;
    let tree = tree_of_known_names(1)?;
    let dir = healthy_dir()?;
    way.run(async |handle| {
        let mut options = OpenOptions::new();
        let file = options.write(true).open(slow(&tree, 0)).await?;
        let guard = tree.hold(&[Request::Write], "/slow")?;
        let stuck = tokio::spawn(file.write_all_at("stuck", 0).timeout(HOLD_MAX));
        held(&tree, 1).await?;
        let write = |index: usize| {
            let path = dir.path().join(index.to_string());
            async move {
                let file = File::create(path).await?;
                file.write_all_at("written", 0).await?;
                file.close().await
            }
        };
        let writes = futures::stream::iter((0..FILES).map(write));
        let mut writes = writes.buffer_unordered(AT_ONCE);
        let mut done = 0;
        while let Some(written) = in_time("the next write", writes.next()).await? {
            written?;
            done += 1;
        }
        ensure(done == FILES, format!("{done} were written"))?;
        still_held(|| tree.status(), 1)?;
        guard.release()?;
        in_time("the stuck write", stuck).await?.map(drop)?;
        in_time("close", file.close()).await??;
        Ok(drained(&handle).await?)
    })
}

/// As many as a lane has workers reach the server, though no further operation comes after them.
pub(crate) fn raise_then_kick(way: Way) -> Outcome {
    let tree = tree_of_known_names(WORKERS as usize)?;
    way.run(async |handle| {
        let guard = tree.hold(&[Request::Getattr], "/slow")?;
        let stuck: Vec<_> = (0..WORKERS as usize)
            .map(|index| tokio::spawn(fs::statx(slow(&tree, index)).timeout(HOLD_MAX)))
            .collect();
        held(&tree, WORKERS).await?;
        still_held(|| tree.status(), WORKERS)?;
        guard.release()?;
        for stat in stuck {
            in_time("a stuck statx", stat).await???;
        }
        Ok(drained(&handle).await?)
    })
}

/// A lane that sleeps in a submission: what comes after it goes another way, on the same mount too, and the
/// lane ends once it is let go.
pub(crate) fn lane_failover(way: Way) -> Outcome {
    let tree = tree_of_known_names(4)?;
    way.run(async |handle| {
        // Starts the threads that are there afterwards.
        for _ in 0..3 {
            let file = File::open(quick(&tree, 0)).await?;
            file.read_at(vec![0; 10], 0).await.map_err(|e| e.error)?;
            file.close().await?;
        }
        drained(&handle).await?;
        let (before, stats) = (Traces::now(), handle.stats());
        let stuck = File::open(slow(&tree, 0)).await?;
        // A read asks for attributes first, and where they are held it sleeps in its submission.
        let guard = tree.hold(&[Request::Getattr], "/slow")?;
        let read = tokio::spawn(stuck.read_at(vec![0; 10], 0).timeout(HOLD_MAX));
        held(&tree, 1).await?;
        for index in 0..4 {
            let stat = fs::statx(quick(&tree, index)).timeout(HOLD_MAX);
            in_time("another file", stat).await??;
            let file = File::open(quick(&tree, index)).await?;
            let read = file.read_at(vec![0; 10], 0).timeout(HOLD_MAX);
            in_time("another read", read).await?.map_err(|e| e.error)?;
            in_time("close", file.close()).await??;
        }
        still_held(|| tree.status(), 1)?;
        let replaced = handle.stats().lanes_replaced - stats.lanes_replaced;
        ensure(
            way.is_pool() || replaced > 0,
            "no lane was replaced, so this shows nothing",
        )?;
        ensure(replaced <= 4, format!("{replaced} lanes were replaced"))?;
        guard.release()?;
        in_time("the stuck read", read)
            .await??
            .map_err(|e| e.error)?;
        stuck.close().await?;
        drained(&handle).await?;
        until("the wedged lane ends", || {
            handle.stats().lanes <= stats.lanes
        })
        .await?;
        Ok(before.return_to().await?)
    })
}

/// What a lane has put into its ring behind an entry whose submission sleeps, the kernel has not taken: it is
/// done elsewhere.
pub(crate) fn wedge_rehome_unsubmitted(way: Way) -> Outcome {
    const QUICK: usize = 10;
    let tree = tree_of_known_names(QUICK)?;
    way.run(async |handle| {
        let stuck = File::open(slow(&tree, 0)).await?;
        let mut files = Vec::new();
        for index in 0..QUICK {
            files.push(File::open(quick(&tree, index)).await?);
        }
        // A read asks for attributes first, and where they are held it sleeps in its submission.
        let guard = tree.hold(&[Request::Getattr], "/slow")?;
        // All at once, so that a lane takes them together.
        let stuck = tokio::spawn(stuck.read_at(vec![0; 10], 0).timeout(HOLD_MAX));
        let reads: Vec<_> = files
            .iter()
            .map(|file| tokio::spawn(file.read_at(vec![0; 10], 0).timeout(HOLD_MAX)))
            .collect();
        held(&tree, 1).await?;
        for read in reads {
            in_time("a read beside it", read)
                .await??
                .map_err(|e| e.error)?;
        }
        still_held(|| tree.status(), 1)?;
        guard.release()?;
        in_time("the stuck read", stuck)
            .await??
            .map_err(|e| e.error)?;
        Ok(drained(&handle).await?)
    })
}

/// A handle and its runtime end while lanes sleep in submissions; the lanes end when they are let go.
pub(crate) fn lane_never_joins_stuck(way: Way) -> Outcome {
    let before = Running::now();
    let tree = tree_of_known_names(4)?;
    let guard = tree.hold(&[Request::Open, Request::Getattr], "/slow")?;
    let runtime = current_thread()?;
    runtime.block_on(async {
        let handle = way.install()?;
        for index in 0..2 {
            tokio::spawn(File::open(slow(&tree, index)));
            tokio::spawn(fs::statx(slow(&tree, index)));
        }
        held(&tree, 4).await?;
        in_time("the shutdown", handle.shutdown(LIMIT)).await?;
        Outcome::Ok(())
    })?;
    // Returns, or the hold ends by itself and the next line says so.
    drop(runtime);
    still_held(|| tree.status(), 4)?;
    ensure(Running::now().has_more_than(&before), "nothing was stuck")?;
    guard.release()?;
    Ok(before.wait_gone()?)
}

/// Every lane sleeps in a submission, and so does the runtime's thread: the heartbeats come, and name what is
/// oldest.
pub(crate) fn heartbeat_when_lane_wedged(way: Way) -> Outcome {
    const BEATS: u64 = 4;
    let tree = tree_of_known_names(2)?;
    let builder = way.builder().heartbeat_interval(LIMIT / 4);
    way.run_with(builder, async |handle| {
        let file = File::open(slow(&tree, 0)).await?;
        drained(&handle).await?;
        let mut beats = handle.heartbeat();
        // A read asks for attributes first, and where they are held it sleeps in its submission.
        let guard = tree.hold(&[Request::Getattr], "/slow")?;
        let read = tokio::spawn(file.read_at(vec![0; 10], 0).timeout(HOLD_MAX));
        held(&tree, 1).await?;
        let stat = tokio::spawn(fs::statx(slow(&tree, 1)).timeout(HOLD_MAX));
        held(&tree, 2).await?;
        let first = beats.borrow_and_update().beat;
        until_blocking("heartbeats", || beats.borrow().beat >= first + BEATS)?;
        still_held(|| tree.status(), 2)?;
        let beat = beats.borrow_and_update().clone();
        ensure(
            beat.in_flight == 2 && beat.orphans == 0,
            format!("{beat:?}"),
        )?;
        let oldest = beat.oldest.ok_or("a heartbeat without an operation")?;
        ensure(
            oldest.operation == Kind::Read && oldest.state == OpState::Running,
            format!("{oldest:?}"),
        )?;
        is_about(oldest.path.as_ref(), &slow(&tree, 0))?;
        guard.release()?;
        in_time("the read", read).await??.map_err(|e| e.error)?;
        in_time("the statx", stat).await???;
        drained(&handle).await?;
        // One more says that all is over, and then there are none.
        in_time("the last beat", beats.wait_for(|beat| beat.in_flight == 0)).await??;
        file.close().await?;
        Ok(())
    })
}
