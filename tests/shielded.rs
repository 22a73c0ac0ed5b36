//! The threads that make blocking calls take no signals, whatever they are for: what a signal interrupts may be half done.
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{on_each_route, until_idle};
use nix::sys::signal::Signal;
use tidegate::fs::{self, AtomicOptions, CopyTree, File, Follow};

/// Threads that were just begun may not have come to it yet.
const PATIENCE: Duration = Duration::from_secs(20);

/// Those that programs use for timers, children and themselves.
const SIGNALS: [Signal; 6] = [
    Signal::SIGALRM,
    Signal::SIGCHLD,
    Signal::SIGPROF,
    Signal::SIGUSR1,
    Signal::SIGTERM,
    Signal::SIGINT,
];

/// Something of every sort of thread.
async fn work(dir: &Path) {
    let (file, tree) = (dir.join("file"), dir.join("tree"));
    fs::write(&file, vec![7; 100_000]).await.unwrap();
    fs::write_atomic(&file, "atomic", AtomicOptions::new())
        .await
        .unwrap();
    // Where there are none, that is said by a thread, too.
    let _ = fs::set_xattr(&file, "user.mark", "value", Follow::Links).await;
    let _ = fs::list_xattrs(&file, Follow::Links).await;
    let _ = fs::get_xattr(&file, "user.mark", Follow::Links).await;
    fs::create_dir_all(tree.join("deep/er")).await.unwrap();
    fs::copy(&file, tree.join("copy")).await.unwrap();
    let mut copying = CopyTree::new(&tree, dir.join("other")).start();
    while copying.next_event().await.is_some() {}
    let open = File::open(&file).await.unwrap();
    open.read_at(Vec::with_capacity(10), 0).await.unwrap();
    open.sync_all().await.unwrap();
    tidegate::blocking(|_| ()).await.unwrap();
    fs::remove_dir_all(&tree).await.unwrap();
}

/// The threads that call for others, and which of these signals each of them takes.
fn callers() -> Vec<(String, Vec<Signal>)> {
    let mut found = Vec::new();
    for thread in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let of = |file: &str| std::fs::read_to_string(thread.path().join(file)).ok();
        let (Some(name), Some(status)) = (of("comm"), of("status")) else {
            continue;
        };
        // The last two are rings of their own.
        let of_calls = ["tidegate-pool", "tidegate-data", "tidegate-meta"];
        if !of_calls.iter().any(|of| name.starts_with(of)) {
            continue;
        }
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        let blocked = u64::from_str_radix(line.unwrap().trim(), 16).unwrap();
        let takes = |signal: &Signal| blocked & 1 << (*signal as i32 - 1) == 0;
        found.push((
            name.trim().to_owned(),
            SIGNALS.into_iter().filter(takes).collect(),
        ));
    }
    found
}

#[test]
fn threads_that_call_take_no_signals() {
    on_each_route(|route| async move {
        let dir = tempfile::tempdir().unwrap();
        work(dir.path()).await;
        let began = Instant::now();
        loop {
            let callers = callers();
            assert!(!callers.is_empty(), "{route:?} has no threads");
            if callers.iter().all(|(_, taken)| taken.is_empty()) {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{route:?}: {callers:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        until_idle().await;
    });
}
