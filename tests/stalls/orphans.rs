//! What is given up while the kernel still has it: where it stays, and what becomes of it.

use std::fs as std_fs;
use std::sync::mpsc::channel;

use libtest_mimic::Failed;
use tidegate::fs::{self, File, FileState, OpenOptions};
use tidegate::{Error, LeftBehind, OpExt};
use tidegate_rig::{Request, StalledFuse};

use crate::stage::{
    FILE_BYTES, HOLD_MAX, LIMIT, Outcome, WAIT, Way, current_thread, drained, ensure, error_of,
    healthy_dir, held, in_time, is_about, orphans, quick, right_bytes, slow, still_held, timed_out,
    tree, tree_of_known_names, until,
};
use crate::traces::Running;

/// Descriptors of this process in the tree.
fn open_in(tree: &StalledFuse) -> usize {
    let links = std_fs::read_dir("/proc/self/fd").into_iter().flatten();
    let links = links.filter_map(|entry| std_fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.starts_with(tree.path())).count()
}

/// An open that nobody waits for any more gives its descriptor back.
pub(crate) fn late_open_closed(way: Way) -> Outcome {
    const OPENS: u64 = 4;
    let tree = tree_of_known_names(OPENS as usize)?;
    way.run(async |handle| {
        let guard = tree.hold(&[Request::Open], "/slow")?;
        let opens = (0..OPENS).map(|index| File::open(slow(&tree, index as usize)).timeout(LIMIT));
        let results = in_time("opens", futures::future::join_all(opens)).await?;
        for result in results {
            let left = timed_out(&error_of("open", result)?)?.left;
            ensure(left == LeftBehind::Detached, format!("{left:?}"))?;
        }
        // One more is dropped instead.
        still_held(|| tree.status(), OPENS)?;
        let released = tree.status()?.seen(Request::Release);
        guard.release()?;
        drained(&handle).await?;
        until("no descriptor is left", || open_in(&tree) == 0).await?;
        until("the server has closed them", || {
            let seen = tree.status().map(|status| status.seen(Request::Release));
            seen.is_ok_and(|seen| seen == released + OPENS)
        })
        .await?;
        Ok(())
    })
}

/// Writes that were given up come to the file all the same, and none of them after a later one.
pub(crate) fn timedout_write_lands_later(way: Way) -> Outcome {
    let tree = tree_of_known_names(1)?;
    let behind = tree.backing_path().join("slow-0");
    way.run(async |handle| {
        let mut options = OpenOptions::new();
        let file = options.write(true).open(slow(&tree, 0)).await?;
        for round in 0..3u8 {
            let guard = tree.hold(&[Request::Write], "/slow")?;
            for number in 0..4 {
                let bytes = vec![100 + round * 10 + number; 4096];
                let error = error_of("write", file.write_at(bytes, 0).timeout(LIMIT).await)?;
                let given_up = timed_out(&error)?;
                ensure(
                    number > 0 || given_up.left == LeftBehind::Detached,
                    format!("{given_up:?}"),
                )?;
            }
            let last = vec![200 + round; 4096];
            let last = tokio::spawn(file.write_at(last, 0).timeout(HOLD_MAX));
            held(&tree, 1).await?;
            still_held(|| tree.status(), 1)?;
            guard.release()?;
            let (count, _) = in_time("the last write", last)
                .await??
                .map_err(|e| e.error)?;
            ensure(count == 4096, format!("{count} bytes"))?;
            drained(&handle).await?;
            let found = std_fs::read(&behind)?;
            ensure(
                found[..4096] == [200 + round; 4096],
                format!("round {round}: an older write came later: {}", found[0]),
            )?;
        }
        in_time("close", file.close()).await??;
        Ok(())
    })
}

/// One that nobody overwrites is there when the kernel has done it.
pub(crate) fn timedout_write_takes_effect(way: Way) -> Outcome {
    let tree = tree_of_known_names(1)?;
    let behind = tree.backing_path().join("slow-0");
    way.run(async |handle| {
        let mut options = OpenOptions::new();
        let file = options.write(true).open(slow(&tree, 0)).await?;
        let guard = tree.hold(&[Request::Write], "/slow")?;
        let written = file.write_all_at(vec![200; 4096], 0).timeout(LIMIT).await;
        let error = written.err().ok_or("the write was done")?;
        ensure(error.is_detached(), "the kernel's buffer was given back")?;
        timed_out(&error.error)?;
        still_held(|| tree.status(), 1)?;
        let state = file.state();
        ensure(state == FileState::Indeterminate, format!("{state:?}"))?;
        right_bytes(0, &std_fs::read(&behind)?)?;
        guard.release()?;
        drained(&handle).await?;
        ensure(
            std_fs::read(&behind)?[..4096] == [200; 4096],
            "it never came",
        )?;
        let state = file.state();
        ensure(state == FileState::Healthy, format!("{state:?}"))?;
        in_time("close", file.close()).await??;
        Ok(())
    })
}

/// Memory that the kernel still has is not given to anybody else, though runtime, handle and rings are gone.
pub(crate) fn orphan_survives_ring_close(way: Way) -> Outcome {
    let before = Running::now();
    const READS: usize = 16;
    const CANARY: u8 = 0xA5;
    let tree = tree_of_known_names(READS)?;
    let runtime = current_thread()?;
    let guard = runtime.block_on(async {
        way.install()?;
        let mut files = Vec::new();
        for index in 0..READS {
            files.push(File::open(slow(&tree, index)).await?);
        }
        let reads = tree.hold(&[Request::Read], "/slow")?;
        for file in files {
            tokio::spawn(file.read_at(vec![1; FILE_BYTES], 0));
        }
        held(&tree, READS as u64).await?;
        let stats = tree.hold(&[Request::Getattr], "/slow")?;
        for index in 0..READS {
            tokio::spawn(fs::statx(slow(&tree, index)));
        }
        held(&tree, 2 * READS as u64).await?;
        Result::<_, Failed>::Ok([reads, stats])
    })?;
    drop(runtime);
    let mut canaries = Vec::new();
    for round in 0..64 {
        for bytes in [FILE_BYTES, 4096, 512, 256] {
            canaries.push(vec![CANARY; bytes + round % 8]);
        }
    }
    still_held(|| tree.status(), 2 * READS as u64)?;
    drop(guard);
    before.wait_gone()?;
    let hurt = canaries
        .iter()
        .filter(|canary| canary.iter().any(|&byte| byte != CANARY));
    let hurt = hurt.count();
    Ok(ensure(hurt == 0, format!("{hurt} pieces were written to"))?)
}

/// At the cap the next operation is refused at once, with the figures; others go on. Threads have the cap that
/// was set, a lane has its kernel workers.
pub(crate) fn stall_cap(way: Way) -> Outcome {
    let cap = if way.is_pool() { 3 } else { 64 };
    let tree = tree_of_known_names(cap + 2)?;
    let healthy = healthy_dir()?;
    let builder = way.builder().stuck_threads_max(3);
    way.run_with(builder, async |handle| {
        let guard = tree.hold(&[Request::Getattr], "/slow")?;
        let all: Vec<_> = (0..cap)
            .map(|index| tokio::spawn(fs::statx(slow(&tree, index)).timeout(LIMIT)))
            .collect();
        held(&tree, cap as u64).await?;
        for stat in all {
            let result = in_time("statx", stat).await??;
            timed_out(&error_of("statx", result)?)?;
        }
        ensure(orphans(&handle) == cap, format!("{:?}", handle.in_flight()))?;
        for _ in 0..3 {
            let path = slow(&tree, cap);
            let error = error_of("statx", in_time("a refusal", fs::statx(path)).await?)?;
            ensure(
                error.kind() == std::io::ErrorKind::ResourceBusy,
                error.to_string(),
            )?;
            match Error::from_io(&error) {
                Some(Error::Saturated {
                    stuck, mount_point, ..
                }) => {
                    ensure(*stuck == cap, format!("{stuck} stuck"))?;
                    if mount_point.is_some() {
                        is_about(mount_point.as_ref(), tree.path())?;
                    }
                }
                _ => return Err(format!("not refused: {error:?}").into()),
            }
        }
        let path = healthy.path().join("file");
        in_time("a healthy write", fs::write(&path, "content")).await??;
        let bytes = in_time("a healthy read", fs::read(&path)).await??;
        ensure(bytes == b"content", "wrong bytes")?;
        still_held(|| tree.status(), cap as u64)?;
        let status = tree.status()?;
        ensure(status.held == cap as u64, "a refused operation ran")?;
        guard.release()?;
        drained(&handle).await?;
        ensure(orphans(&handle) == 0, "orphans are left")?;
        fs::statx(slow(&tree, cap)).timeout(HOLD_MAX).await?;
        Ok(())
    })
}

/// The process that serves the tree is killed: everything that hung there fails, and nothing is left of it.
pub(crate) fn killed_server(way: Way) -> Outcome {
    let before = Running::now();
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    let tree = tree_of_known_names(8)?;
    let server = tree.server_id().ok_or("no server")?;
    let (tell, hear) = channel();
    way.run(async |handle| {
        let file = File::open(quick(&tree, 0)).await?;
        let _guard = tree.hold(&[Request::Getattr, Request::Read, Request::Open], "")?;
        let given_up = fs::statx(slow(&tree, 0)).timeout(LIMIT).await;
        timed_out(&error_of("statx", given_up)?)?;
        let stat = tokio::spawn(fs::statx(slow(&tree, 1)).timeout(HOLD_MAX));
        let read = tokio::spawn(file.read_at(vec![0; 10], 0).timeout(HOLD_MAX));
        let open = tokio::spawn(File::open(slow(&tree, 2)).timeout(HOLD_MAX));
        held(&tree, 4).await?;
        kill(Pid::from_raw(server as i32), Signal::SIGKILL)?;
        let stat = error_of("statx", in_time("statx", stat).await??)?;
        let read = error_of("read", in_time("read", read).await??)?;
        let open = error_of("open", in_time("open", open).await??)?;
        for error in [stat, read, open] {
            let gone = [nix::libc::ENOTCONN, nix::libc::ECONNABORTED].map(Some);
            let number = tidegate::raw_os_error(&error);
            ensure(gone.contains(&number), format!("{error:?}"))?;
        }
        drained(&handle).await?;
        drop(file);
        drained(&handle).await?;
        tell.send(())?;
        Ok(())
    })?;
    hear.recv_timeout(WAIT)?;
    Ok(before.wait_gone()?)
}

/// A cut connection, as `umount -f` makes it, is the same to those who wait.
pub(crate) fn aborted_mount(way: Way) -> Outcome {
    let before = Running::now();
    let tree = tree(4)?;
    way.run(async |handle| {
        let _guard = tree.hold(&[Request::Lookup], "/slow")?;
        let all: Vec<_> = (0..4)
            .map(|index| tokio::spawn(fs::metadata(slow(&tree, index)).timeout(HOLD_MAX)))
            .collect();
        held(&tree, 1).await?;
        tree.abort();
        for op in all {
            error_of("metadata", in_time("metadata", op).await??)?;
        }
        Ok(drained(&handle).await?)
    })?;
    Ok(before.wait_gone()?)
}
