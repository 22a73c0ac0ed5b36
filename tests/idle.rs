//! A handle that has nothing to do does nothing: once what was kept for a while is gone, no thread of this process runs,
//! and so none makes a system call.
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use common::child::in_child;
use common::{routes, runtime};
use tidegate::fs::{self, File};
use tidegate::{Handle, OpExt, blocking};

/// How long it has to be seen to do nothing. Twice the longest tick of anything that ticks while something goes on.
const QUIET: Duration = Duration::from_secs(2);

/// What is kept for a while is kept for ten seconds: the threads of the pool and of the log.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often each thread but the calling one was given a processor; by its number and name.
fn turns() -> BTreeMap<(String, String), u64> {
    let here = nix::unistd::gettid().to_string();
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let turns_of = |id: &str| {
        let base = format!("/proc/self/task/{id}");
        let name = std::fs::read_to_string(format!("{base}/comm")).ok()?;
        let status = std::fs::read_to_string(format!("{base}/status")).ok()?;
        let of = |what: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(what));
            line.and_then(|line| line.trim().parse::<u64>().ok())
        };
        // Any call that lasts, and any wake-up, ends in one of the two.
        let switches = of("voluntary_ctxt_switches:")? + of("nonvoluntary_ctxt_switches:")?;
        Some(((id.to_owned(), name.trim().to_owned()), switches))
    };
    let ids = threads.map(|thread| thread.unwrap().file_name().into_string().unwrap());
    ids.filter(|id| *id != here)
        .filter_map(|id| turns_of(&id))
        .collect()
}

async fn work(dir: &std::path::Path) {
    let path = dir.join("file");
    fs::write(&path, vec![1; 1 << 20]).await.unwrap();
    let file = File::open(&path).await.unwrap();
    let reads = (0..64_u64).map(|n| file.read_at(vec![0; 4096], n * 4096));
    for read in futures::future::join_all(reads).await {
        read.unwrap();
    }
    file.sync_all().await.unwrap();
    file.close().await.unwrap();
    fs::read_dir(dir).await.unwrap();
    let held = blocking(|stop| while !stop.is_wanted() {}).timeout(Duration::from_millis(5));
    assert!(held.await.is_err());
}

/// With an open file, a listener and a runtime that goes on.
#[test]
fn an_idle_handle_makes_no_system_call() {
    in_child(
        "an_idle_handle_makes_no_system_call",
        |_| {},
        || {
            let dir = tempfile::tempdir().unwrap();
            let (_never, nobody_calls) = channel::<()>();
            let mut kept = Vec::new();
            for route in routes() {
                for multi in [true, false] {
                    let runtime = runtime(multi);
                    let (file, beats) = runtime.block_on(async {
                        let handle = Handle::builder().route(route).install().unwrap();
                        work(dir.path()).await;
                        (
                            File::open(dir.path().join("file")).await.unwrap(),
                            handle.heartbeat(),
                        )
                    });
                    kept.push((runtime, file, beats));
                }
            }
            let began = Instant::now();
            let mut before = turns();
            loop {
                let _ = nobody_calls.recv_timeout(QUIET);
                let after = turns();
                if after == before {
                    break;
                }
                assert!(
                    began.elapsed() < PATIENCE,
                    "before {before:#?}, after {after:#?}"
                );
                before = after;
            }
            println!("nothing runs after {:?}", began.elapsed());
            drop(kept);
        },
    );
}

/// How many threads and descriptors the process has.
fn held() -> (usize, usize) {
    let count = |folder: &str| std::fs::read_dir(folder).unwrap().count();
    // Without the descriptor of the look itself.
    (count("/proc/self/task"), count("/proc/self/fd") - 1)
}

/// A runtime that has read a file and has nothing to do holds two threads and two descriptors more than one that has used
/// `tokio::fs`: those that watch, which are the process's, and a ring's.
#[test]
fn an_idle_runtime_holds_little() {
    const MORE: usize = 2;
    in_child(
        "an_idle_runtime_holds_little",
        |_| {},
        || {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            std::fs::write(&path, "content").unwrap();
            let (_never, nobody_calls) = channel::<()>();
            for multi in [true, false] {
                // What the process keeps, whoever it was for.
                let before = held();
                let plain = runtime(multi);
                plain.block_on(tokio::fs::read(&path)).unwrap();
                let (threads, descriptors) = held();
                let (threads, descriptors) = (threads - before.0, descriptors - before.1);
                drop(plain);
                let watched = runtime(multi);
                watched.block_on(fs::read(&path)).unwrap();
                let began = Instant::now();
                loop {
                    let now = held();
                    let is_little = now.0 <= before.0 + threads + MORE
                        && now.1 <= before.1 + descriptors + MORE;
                    if is_little {
                        break;
                    }
                    assert!(
                        began.elapsed() < PATIENCE,
                        "before {before:?}, tokio {threads} threads, {descriptors} descriptors: {now:?}"
                    );
                    let _ = nobody_calls.recv_timeout(QUIET);
                }
                drop(watched);
            }
        },
    );
}
