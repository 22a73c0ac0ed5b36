//! Many operations on mounts that are dead.

use std::io;
use std::time::{Duration, Instant};

use tidegate::fs::{self, File, OpenOptions};
use tidegate::opcode::TABLE;
use tidegate::{Error, Handle, OpExt, Route};
use tidegate_rig::{Request, StalledFuse, files};

use crate::common::compounds;
use crate::counting::{Most, adds_up, now};
use crate::rows::{Bench, Boxed, FILE_BYTES};
use crate::scene::{Outcome, Scene, all_requests, drained, ensure, in_time, others_work, tree};

/// Of each row.
const MANY: usize = 150;
const LIMIT: Duration = Duration::from_millis(60);

/// Kernel workers of the lanes of one mount and class.
const WORKERS: usize = 64;

/// Lanes of the process's own handle, where what is dropped with another one is closed.
const OTHER_LANES: usize = 2;
/// Threads of other pools than the dead mount's: those of a file elsewhere, of what has no mount, of chores,
/// and of the process's own handle.
const OTHER_POOLS: usize = 16;
/// Descriptors that come and go beside: rings, sockets, files elsewhere, the look-ups of as many threads.
const OTHER_DESCRIPTORS: usize = 64;
/// What so many threads and waiting operations take, with room for the allocator.
const RESIDENT_KIB: usize = 96 << 10;

fn within(scene: Scene, before: &Most, most: &Most, mounts: usize) -> Result<(), String> {
    let pools = scene.cap + (mounts - 1) * scene.cap.min(16) + OTHER_POOLS;
    let lanes = 2 * (mounts + 1) + OTHER_LANES;
    let shown = || format!("{before:?} became {most:?}");
    ensure(
        most.pool <= pools,
        format!("more than {pools} in pools: {}", shown()),
    )?;
    ensure(
        most.workers <= WORKERS,
        format!("too many workers: {}", shown()),
    )?;
    ensure(most.lanes <= lanes, format!("too many lanes: {}", shown()))?;
    let descriptors = before.descriptors + OTHER_DESCRIPTORS;
    ensure(
        most.descriptors <= descriptors,
        format!("descriptors: {}", shown()),
    )?;
    let resident = before.resident_kib + RESIDENT_KIB;
    ensure(
        most.resident_kib <= resident,
        format!("memory: {}", shown()),
    )
}

/// Runs all of them under a limit, and counts meanwhile.
async fn watched(ops: Vec<Boxed>, most: &mut Most) -> Result<Vec<io::Result<()>>, String> {
    let ops: Vec<_> = ops
        .into_iter()
        .map(|op| tokio::spawn(op.timeout(LIMIT)))
        .collect();
    let all = futures::future::join_all(ops);
    tokio::pin!(all);
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let ended = async {
        loop {
            tokio::select! {
                ended = &mut all => return ended,
                _ = looks.tick() => most.look(),
            }
        }
    };
    let ended = in_time("operations under a limit", ended).await;
    let ended = ended.map_err(|error| {
        let handle = Handle::current().map(|handle| handle.in_flight());
        format!("{error}: {handle:?}")
    })?;
    most.look();
    let joined = ended
        .into_iter()
        .map(|op| op.map_err(|error| error.to_string()));
    joined.collect()
}

/// That it ran out of time, or never began as it would only have been stuck. Some need no answer of the server, as
/// what it does not support; what nobody may run out of is descriptors.
fn given_up(result: &io::Result<()>) -> Result<(), String> {
    let Err(error) = result else { return Ok(()) };
    let number = tidegate::raw_os_error(error);
    let said = || number.is_some_and(|number| ![libc::EMFILE, libc::ENFILE].contains(&number));
    match Error::from_io(error) {
        Some(
            Error::TimedOut { .. } | Error::Saturated { .. } | Error::MountUnresponsive { .. },
        ) => Ok(()),
        _ if said() => Ok(()),
        _ => Err(format!("{error:?}")),
    }
}

pub(crate) fn every_row(scene: Scene) -> Outcome {
    let healthy = tempfile::tempdir()?;
    for row in TABLE {
        let tree = tree()?;
        scene.run(async |handle| {
            let bench = Bench::make(&tree).await?;
            if let Err(reason) = bench.op(row.kind, 0) {
                println!("    {row}: {reason}", row = row.name);
                return Ok(());
            }
            others_work(healthy.path()).await?;
            drained(&handle).await?;
            let before = now();
            let mut most = before.clone();
            let guard = tree.hold(&all_requests(), "/slow")?;
            let of_row = |error: String| format!("{}: {error}", row.name);
            for _wave in 0..2 {
                let ops = (0..MANY).filter_map(|index| bench.op(row.kind, index).ok());
                for result in watched(ops.collect(), &mut most).await.map_err(of_row)? {
                    given_up(&result).map_err(of_row)?;
                }
                others_work(healthy.path()).await.map_err(of_row)?;
            }
            within(scene, &before, &most, 1).map_err(of_row)?;
            guard.release()?;
            drop(bench);
            drained(&handle).await.map_err(of_row)?;
            adds_up(&handle).map_err(of_row)?;
            let left = handle.stats().orphans;
            ensure(left == 0, format!("{}: {left} orphans", row.name))?;
            Ok(())
        })?;
        drop(tree);
    }
    Ok(())
}

/// What takes several steps or has many entries, each of them many times: walks, batches, logs, commits, copies, streams.
pub(crate) fn compounds(scene: Scene) -> Outcome {
    const EACH: usize = 8;
    let (tree, healthy) = (tree()?, tempfile::tempdir()?);
    // Each caller has files of its own.
    let places: Vec<_> = (0..EACH).map(|place| format!("slow-{place}")).collect();
    for place in &places {
        compounds::prepare(&tree.backing_path().join(place));
    }
    scene.run(async |handle| {
        others_work(healthy.path()).await?;
        // What is known of the mount is known after a first look.
        fs::statx(tree.path()).await?;
        drained(&handle).await?;
        let (before, mut most) = (now(), now());
        let guard = tree.hold(&all_requests(), "/slow")?;
        for _wave in 0..2 {
            let made = |place| compounds::made(&tree.path().join(place));
            let (names, ops): (Vec<_>, Vec<_>) = places.iter().flat_map(made).unzip();
            for (name, result) in names.into_iter().zip(watched(ops, &mut most).await?) {
                ensure(result.is_err(), format!("{name}: it was answered"))?;
                given_up(&result).map_err(|error| format!("{name}: {error}"))?;
            }
            others_work(healthy.path()).await?;
        }
        within(scene, &before, &most, 1)?;
        guard.release()?;
        drained(&handle).await?;
        adds_up(&handle)?;
        Ok(())
    })
}

/// Attributes asked for at a high rate, by callers that give up soon.
pub(crate) fn flood(scene: Scene) -> Outcome {
    const CALLERS: usize = 64;
    const LASTS: Duration = Duration::from_secs(5);
    let (tree, healthy) = (tree()?, tempfile::tempdir()?);
    files::create(&tree.backing_path().join("slow-0"), FILE_BYTES)?;
    std::fs::metadata(tree.path().join("slow-0"))?;
    scene.run(async |handle| {
        others_work(healthy.path()).await?;
        drained(&handle).await?;
        let (before, mut most) = (now(), now());
        let guard = tree.hold(&all_requests(), "/slow")?;
        let end = Instant::now() + LASTS;
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let path = tree.path().join("slow-0");
                tokio::spawn(async move {
                    while Instant::now() < end {
                        let asked = fs::metadata(&path).timeout(Duration::from_millis(20));
                        given_up(&asked.await.map(drop))?;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    Result::<(), String>::Ok(())
                })
            })
            .collect();
        while Instant::now() < end {
            others_work(healthy.path()).await?;
            most.look();
        }
        for caller in callers {
            in_time("a caller", caller).await???;
        }
        within(scene, &before, &most, 1)?;
        guard.release()?;
        drained(&handle).await?;
        adds_up(&handle)?;
        Ok(())
    })
}

async fn stuck_on(handle: &Handle, trees: &[StalledFuse], most: &mut Most) -> Result<(), String> {
    for _wave in 0..2 {
        let op = |index: usize| {
            let path = trees[index % trees.len()].path().join("slow-0");
            Box::pin(async move { fs::metadata(path).await.map(drop) }) as Boxed
        };
        let ops = (0..trees.len() * MANY).map(op).collect();
        for result in watched(ops, most).await? {
            given_up(&result)?;
        }
    }
    let _ = handle;
    Ok(())
}

pub(crate) fn two_dead_mounts(scene: Scene) -> Outcome {
    let (trees, healthy) = ([tree()?, tree()?], tempfile::tempdir()?);
    for tree in &trees {
        files::create(&tree.backing_path().join("slow-0"), FILE_BYTES)?;
        std::fs::metadata(tree.path().join("slow-0"))?;
    }
    scene.run(async |handle| {
        others_work(healthy.path()).await?;
        drained(&handle).await?;
        let (before, mut most) = (now(), now());
        let mut guards = Vec::new();
        for tree in &trees {
            guards.push(tree.hold(&all_requests(), "/slow")?);
        }
        stuck_on(&handle, &trees, &mut most).await?;
        // As many at a time as a pool has threads of its own.
        let reads = (0..8).map(|_| {
            let path = healthy.path().join("healthy");
            tidegate::blocking_on(path.clone(), move |_| std::fs::read(&path).map(drop))
        });
        for read in in_time("reads elsewhere", futures::future::join_all(reads)).await? {
            read??;
        }
        others_work(healthy.path()).await?;
        within(scene, &before, &most, 2)?;
        for guard in guards {
            guard.release()?;
        }
        drained(&handle).await?;
        adds_up(&handle)?;
        Ok(())
    })
}

/// Closes are kept, and each keeps its descriptor: before they have taken all of them, nothing more is opened there.
pub(crate) fn closes(scene: Scene) -> Outcome {
    let (tree, healthy) = (tree()?, tempfile::tempdir()?);
    files::create(&tree.backing_path().join("slow-0"), FILE_BYTES)?;
    scene.run(async |handle| {
        others_work(healthy.path()).await?;
        drained(&handle).await?;
        let path = tree.path().join("slow-0");
        let guard = tree.hold(&[Request::Flush], "/slow")?;
        let open = || async {
            let mut options = OpenOptions::new();
            let opened: io::Result<File> = options.write(true).open(&path).await;
            opened
        };
        let kept = in_time("an open", open()).await??;
        let mut opened = 0;
        let refused = loop {
            ensure(opened < 500, "opens go on and on")?;
            match in_time("an open", open().timeout(Duration::from_secs(2))).await? {
                Ok(file) => drop(file),
                Err(error) => break error,
            }
            opened += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        // Where threads open as well, all of them are in the closes.
        let is_pool = scene.route == Route::Pool;
        let is_saturated =
            |error: &io::Error| matches!(Error::from_io(error), Some(Error::Saturated { .. }));
        ensure(is_saturated(&refused) || is_pool, format!("{refused:?}"))?;
        let mut cloned = 0;
        let refused = loop {
            ensure(cloned < 500, "clones go on and on")?;
            match kept.try_clone().await {
                Ok(clone) => drop(clone),
                Err(error) => break error,
            }
            cloned += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        ensure(is_saturated(&refused), format!("{refused:?}"))?;
        others_work(healthy.path()).await?;
        guard.release()?;
        drained(&handle).await?;
        drop(kept);
        in_time("an open", open()).await??;
        drained(&handle).await?;
        adds_up(&handle)?;
        Ok(())
    })
}
