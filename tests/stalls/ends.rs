//! Ends that do not wait for what is stuck, and say what it is.

use std::collections::HashMap;
use std::sync::mpsc::channel;
use std::time::Duration;

use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tidegate::fs::{self, File};
use tidegate::opcode::Kind;
use tidegate_rig::{Cgroup, Request, StalledFuse};
use tokio::runtime::{Builder, Runtime};

use crate::child::Planned;
use crate::stage::{
    HOLD_MAX, LIMIT, Outcome, WAIT, Way, current_thread, ensure, healthy_dir, held, in_time, slow,
    still_held, tree_of_known_names, until_blocking,
};
use crate::traces::Running;

/// How many operations each of these tests leaves stuck.
const STUCK: u64 = 3;

/// A read, an open and a statx that hang.
async fn stuck(tree: &StalledFuse) -> Result<tidegate_rig::HoldGuard, Failed> {
    let file = File::open(slow(tree, 0)).await?;
    let guard = tree.hold(&[Request::Read, Request::Open, Request::Getattr], "/slow")?;
    tokio::spawn(file.read_at(vec![0; 100], 0));
    tokio::spawn(File::open(slow(tree, 1)));
    tokio::spawn(fs::statx(slow(tree, 2)));
    held(tree, STUCK).await?;
    Ok(guard)
}

/// A shutdown ends within its bound, and its report names each operation that the kernel still has.
pub(crate) fn shutdown_bounded(way: Way) -> Outcome {
    let before = Running::now();
    let tree = tree_of_known_names(3)?;
    way.run(async |handle| {
        let guard = stuck(&tree).await?;
        let report = in_time("the shutdown", handle.shutdown(LIMIT)).await?;
        still_held(|| tree.status(), STUCK)?;
        // The file whose read is stuck may have a close to come as well.
        ensure(
            report.left_behind >= STUCK,
            format!("{}: {report:?}", way.name),
        )?;
        for (index, operation) in [Kind::Read, Kind::Open, Kind::Statx]
            .into_iter()
            .enumerate()
        {
            let path = Some(slow(&tree, index));
            let named = report.stuck.iter();
            let named = named.filter(|op| op.operation == operation && op.path == path);
            ensure(
                named.count() == 1,
                format!("{operation} is not in {report:?}"),
            )?;
        }
        guard.release()?;
        let report = in_time("a second shutdown", handle.shutdown(WAIT)).await?;
        ensure(report.left_behind == 0, format!("{report:?}"))?;
        Ok(())
    })?;
    Ok(before.wait_gone()?)
}

/// A runtime that is dropped by another thread is gone while its operations hang.
pub(crate) fn runtime_drop_bounded(way: Way) -> Outcome {
    for multi in [true, false] {
        let before = Running::now();
        let tree = tree_of_known_names(3)?;
        let runtime = runtime(multi)?;
        let guard = runtime.block_on(async {
            way.install()?;
            if !multi {
                return stuck(&tree).await;
            }
            // On the workers' threads, so that it is they who submit.
            std::thread::scope(|scope| {
                let apart = scope.spawn(|| futures::executor::block_on(spawned(&runtime, &tree)));
                apart.join().map_err(|_| Failed::from("panicked"))?
            })
        })?;
        let (tell, hear) = channel();
        let dropping = std::thread::spawn(move || {
            drop(runtime);
            tell.send(())
        });
        hear.recv_timeout(WAIT)
            .map_err(|_| format!("{}: the drop waits for what is stuck", way.name))?;
        still_held(|| tree.status(), STUCK)?;
        guard.release()?;
        dropping.join().map_err(|_| "the drop panicked")??;
        before.wait_gone()?;
    }
    Ok(())
}

/// What a cancel may have missed is asked for again, also once nobody is left who could have the lane do it.
pub(crate) fn a_lane_without_a_handle_asks_again(way: Way) -> Outcome {
    const AGAIN: u64 = 12;
    if way.is_pool() {
        return Ok(());
    }
    let before = Running::now();
    let tree = tree_of_known_names(3)?;
    let runtime = runtime(false)?;
    let guard = runtime.block_on(async {
        way.install()?;
        stuck(&tree).await
    })?;
    drop(runtime);
    still_held(|| tree.status(), STUCK)?;
    let (before_it, mut most) = (waits_of_lanes(), 0);
    ensure(!before_it.is_empty(), "there is no lane")?;
    until_blocking("a lane that looks again", || {
        let grown = waits_of_lanes().into_iter().map(|(thread, waits)| {
            let earlier = before_it.get(&thread).copied();
            earlier.map_or(0, |earlier| waits - earlier)
        });
        most = grown.max().unwrap_or(0);
        most >= AGAIN
    })?;
    guard.release()?;
    Ok(before.wait_gone()?)
}

/// How often the threads of lanes have gone to sleep.
fn waits_of_lanes() -> HashMap<String, u64> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let waits = tasks.flatten().filter_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let is_lane = ["tidegate-data\n", "tidegate-meta\n"].contains(&name.as_str());
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        let waits = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        let number = task.file_name().to_string_lossy().into_owned();
        is_lane.then_some((number, waits.trim().parse().ok()?))
    });
    waits.collect()
}

fn runtime(multi: bool) -> std::io::Result<Runtime> {
    let mut builder = if multi {
        Builder::new_multi_thread()
    } else {
        Builder::new_current_thread()
    };
    builder.worker_threads(2).enable_all().build()
}

async fn spawned(runtime: &Runtime, tree: &StalledFuse) -> Result<tidegate_rig::HoldGuard, Failed> {
    let path = slow(tree, 0);
    let file = runtime.spawn(File::open(path)).await??;
    let guard = tree.hold(&[Request::Read, Request::Open, Request::Getattr], "/slow")?;
    runtime.spawn(file.read_at(vec![0; 100], 0));
    runtime.spawn(File::open(slow(tree, 1)));
    runtime.spawn(fs::statx(slow(tree, 2)));
    tree.wait_held(STUCK as usize, WAIT)?;
    Ok(guard)
}

/// A process that executes another program while the kernel holds one of its operations: it is told so by
/// name before, and the program runs once the kernel lets go.
pub(crate) fn exec_reports_orphans(way: Way) -> Outcome {
    let tree = tree_of_known_names(1)?;
    let guard = tree.hold(&[Request::Getattr], "/slow")?;
    let mut child = Planned::start("exec", way, &slow(&tree, 0), 0)?;
    ensure(child.line()? == "started", "not started")?;
    tree.wait_held(1, WAIT)?;
    child.go_on()?;
    let line = child.line()?;
    let expected = format!("stuck: statx {}", slow(&tree, 0).display());
    ensure(line == expected, format!("{line:?}"))?;
    ensure(child.line()? == "leaving", "it does not leave")?;
    still_held(|| tree.status(), 1)?;
    guard.release()?;
    let rest = child.end()?;
    Ok(ensure(rest == "executed\n", format!("{rest:?}"))?)
}

/// A process whose operation hangs is held at its exit; when the server is killed, it is gone.
pub(crate) fn a_killed_server_leaves_no_process(way: Way) -> Outcome {
    let tree = tree_of_known_names(1)?;
    let server = tree.server_id().ok_or("no server")?;
    let _guard = tree.hold(&[Request::Getattr], "/slow")?;
    let mut child = Planned::start("exit", way, &slow(&tree, 0), 0)?;
    ensure(child.line()? == "started", "not started")?;
    tree.wait_held(1, WAIT)?;
    child.go_on()?;
    ensure(child.line()?.starts_with("stuck: statx"), "not named")?;
    ensure(child.line()? == "leaving", "it does not leave")?;
    ensure(child.is_alive(), "nothing held it")?;
    kill(Pid::from_raw(server as i32), Signal::SIGKILL)?;
    child.end()?;
    Ok(())
}

/// Where no thread can be had, neither ours nor the kernel's: everything is done, or refused by name.
pub(crate) fn pids_cgroup_full(way: Way) -> Outcome {
    if let Some(lack) = Cgroup::missing("pids") {
        println!("skip: {}::pids_cgroup_full: {lack}", way.name);
        return Ok(());
    }
    for more in 0..8 {
        let dir = healthy_dir()?;
        let said = Planned::start("threads", way, dir.path(), more)?.end()?;
        let last = said.lines().last().unwrap_or_default();
        println!("    {}: {last}", way.name);
    }
    Ok(())
}

/// Futures of a handle that was shut down while they hung end, and not with a success that did not happen.
pub(crate) fn shutdown_ends_the_futures(way: Way) -> Outcome {
    let tree = tree_of_known_names(2)?;
    let runtime = current_thread()?;
    runtime.block_on(async {
        let handle = way.install()?;
        let guard = tree.hold(&[Request::Getattr], "/slow")?;
        let op = tokio::spawn(fs::statx(slow(&tree, 0)));
        held(&tree, 1).await?;
        handle.shutdown(LIMIT).await;
        // What comes later runs on the process's own handle, beside what is stuck.
        let later = tokio::spawn(fs::statx(slow(&tree, 1)));
        held(&tree, 2).await?;
        guard.release()?;
        // Given up or answered: both are true.
        let _ = in_time("what was in flight", op).await??;
        in_time("what came later", later).await???;
        Outcome::Ok(())
    })
}

const _: Duration = HOLD_MAX;
