//! A process that was stopped, by a signal or with its control group: the time does not count.
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::compounds;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tidegate::buf::BufPool;
use tidegate::fs::{self, File};
use tidegate::testing::Faults;
use tidegate::{Error, Handle, OpExt, Timeouts};

/// What operations may take in the child.
const LIMIT: Duration = Duration::from_secs(1);
/// How long it is stopped.
const STOP: Duration = Duration::from_millis(2500);
/// It is stopped within this after the last operation has begun.
const BEFORE_MS: u64 = 500;

type Pending = Pin<Box<dyn Future<Output = io::Result<()>>>>;

fn operations(dir: &Path, file: &Arc<File>) -> BTreeMap<String, Pending> {
    let (path, two) = (dir.join("one"), dir.join("two"));
    let mut all = BTreeMap::new();
    let mut put = |name: &str, default: Pending, limited: Pending| {
        all.insert(format!("{name} by default"), default);
        all.insert(format!("{name} with a timeout"), limited);
    };
    macro_rules! both {
        ($name:literal, $operation:expr) => {
            let default = Box::pin({
                let operation = $operation;
                async move { operation.await.map(drop) }
            });
            let limited = Box::pin({
                let operation = $operation;
                async move { operation.timeout(LIMIT).await.map(drop) }
            });
            put($name, default, limited);
        };
    }
    both!("metadata", fs::metadata(path.clone()));
    both!("read", fs::read(path.clone()));
    both!("write", fs::write(two.clone(), "two"));
    both!("copy", fs::copy(path.clone(), dir.join("three")));
    both!("read_dir", fs::read_dir(dir.to_owned()));
    both!("open", File::open(path.clone()));
    both!("create_dir_all", fs::create_dir_all(dir.join("a/b")));
    both!("sync_all", {
        let file = file.clone();
        async move { file.sync_all().await }
    });
    both!("sync_data", {
        let file = file.clone();
        async move { file.sync_data().await }
    });
    both!("read_at", {
        let file = file.clone();
        async move { file.read_at(vec![0; 3], 0).await.map_err(io::Error::from) }
    });
    both!("write_at", {
        let file = file.clone();
        async move {
            file.write_at(b"abc".to_vec(), 0)
                .await
                .map_err(io::Error::from)
        }
    });
    both!("a block of two", {
        let path = path.clone();
        async move {
            fs::metadata(path.clone()).await?;
            fs::read(path).await
        }
    });
    let twice = [("by default", None), ("with a timeout", Some(LIMIT))];
    for (how, limit) in twice {
        for (name, compound) in compounds::all(&dir.join(how)) {
            let limited: Pending = match limit {
                Some(limit) => Box::pin(compound.timeout(limit)),
                None => compound,
            };
            all.insert(format!("{name} {how}"), limited);
        }
    }
    all
}

/// The process that is stopped: everything is in flight, and ends well once a line came.
async fn stopped(faults: Faults, handle: Handle) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("one"), "one").unwrap();
    let mut options = File::options();
    let file = options.read(true).write(true).open(dir.path().join("one"));
    let file = Arc::new(file.await.unwrap());
    let rule = faults.on_any_kind().never();
    let mut tasks = Vec::new();
    let local = tokio::task::LocalSet::new();
    for (name, operation) in operations(dir.path(), &file) {
        tasks.push((name, local.spawn_local(operation)));
    }
    let count = tasks.len() as u64;
    // What waits for no operation has its limit from the same clock.
    let pool = BufPool::builder().count(1).build().unwrap();
    let buf = pool.acquire().await.unwrap();
    let acquire = async move { pool.acquire().timeout(LIMIT).await.map(drop) };
    tasks.push(("a buffer".into(), local.spawn_local(acquire)));
    // A moment of the system's clock comes all the same.
    let moment = Instant::now() + STOP;
    let past = std::future::pending::<io::Result<()>>().deadline_at(moment);
    let past = local.spawn_local(past);
    let all = async {
        rule.wait_hit(count).await;
        println!("ready");
        let go = std::thread::spawn(move || {
            let mut line = String::new();
            io::stdin().read_line(&mut line).unwrap();
            rule.release();
        });
        let past = past.await.unwrap().unwrap_err();
        let past = Error::from_io(&past).map(|error| matches!(error, Error::TimedOut { .. }));
        assert_eq!(past, Some(true), "the moment was past");
        drop(buf);
        for (name, task) in tasks {
            let outcome = task.await.unwrap();
            assert!(outcome.is_ok(), "{name}: {outcome:?}");
        }
        go.join().unwrap();
    };
    local.run_until(all).await;
    let stats = handle.stats();
    let timeouts: u64 = stats.mounts.iter().map(|mount| mount.timeouts).sum();
    assert_eq!(timeouts, 0);
    assert_eq!(stats.lanes_replaced, 0);
    drop(file);
}

fn in_child_of(route: tidegate::Route) {
    common::runtime(route == tidegate::Route::Ring).block_on(async {
        let faults = Faults::new();
        let mut timeouts = Timeouts::default();
        timeouts.metadata = Some(LIMIT);
        timeouts.data = Some(LIMIT);
        timeouts.sync = Some(LIMIT);
        let builder = Handle::builder().route(route).faults(faults.clone());
        let handle = builder.timeouts(timeouts).install().unwrap();
        stopped(faults, handle).await;
    });
    println!("done");
}

/// How a process is stopped and continued.
trait Stopper {
    fn stop(&self, child: &Child);
    fn go_on(&self, child: &Child);
}

struct BySignal;

impl Stopper for BySignal {
    fn stop(&self, child: &Child) {
        kill(Pid::from_raw(child.id() as i32), Signal::SIGSTOP).unwrap();
    }

    fn go_on(&self, child: &Child) {
        kill(Pid::from_raw(child.id() as i32), Signal::SIGCONT).unwrap();
    }
}

struct ByGroup(tidegate_rig::Cgroup);

impl Stopper for ByGroup {
    fn stop(&self, child: &Child) {
        self.0.take(child.id()).unwrap();
        self.0.set("freezer.state", "FROZEN").unwrap();
    }

    fn go_on(&self, _child: &Child) {
        self.0.set("freezer.state", "THAWED").unwrap();
    }
}

/// Continues it whatever happens, and ends it.
struct Guard<'a>(Child, &'a dyn Stopper);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.1.go_on(&self.0);
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn stop_one(test: &str, route: &str, before: Duration, stopper: &dyn Stopper) {
    let mut command = common::child::command(test);
    let child = command
        .env("TIDEGATE_TEST_ROUTE", route)
        .stdin(Stdio::piped())
        .stderr(Stdio::inherit());
    let mut child = Guard(child.spawn().unwrap(), stopper);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut wait_for = |wanted: &str| {
        let found = lines.by_ref().any(|line| line.unwrap().ends_with(wanted));
        assert!(found, "{route}: the child ended before it was {wanted}");
    };
    wait_for("ready");
    std::thread::sleep(before);
    stopper.stop(&child.0);
    std::thread::sleep(STOP);
    let mut stdin = child.0.stdin.take().unwrap();
    stopper.go_on(&child.0);
    stdin.write_all(b"go\n").unwrap();
    wait_for("done");
}

fn stop_each(test: &str, stopper: impl Fn() -> Box<dyn Stopper>) {
    if common::child::is_child(test) {
        let route = std::env::var("TIDEGATE_TEST_ROUTE").unwrap();
        let is_it = |known: &tidegate::Route| format!("{known:?}") == route;
        let route = common::ROUTES.into_iter().find(is_it).unwrap();
        return in_child_of(route);
    }
    let seed = RandomState::new().hash_one(0);
    println!("seed {seed}");
    for (index, route) in common::routes().into_iter().enumerate() {
        let before = Duration::from_millis(seed.rotate_left(index as u32 * 16) % BEFORE_MS);
        println!("{route:?}, stopped after {before:?}");
        stop_one(test, &format!("{route:?}"), before, &*stopper());
    }
}

/// Limits of callers and of the handle, of operations and of what waits for none, mounts and lanes.
#[test]
fn a_stopped_process_finds_nothing_timed_out() {
    stop_each("a_stopped_process_finds_nothing_timed_out", || {
        Box::new(BySignal)
    });
}

#[test]
fn a_frozen_group_finds_nothing_timed_out() {
    const TEST: &str = "a_frozen_group_finds_nothing_timed_out";
    if let Some(lack) = tidegate_rig::Cgroup::missing("freezer") {
        return eprintln!("skip: {TEST}: {lack}");
    }
    stop_each(TEST, || {
        Box::new(ByGroup(tidegate_rig::Cgroup::new("freezer").unwrap()))
    });
}
