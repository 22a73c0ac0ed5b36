//! What the cases share: a tree that can be held, a healthy directory, a runtime with a handle.

use std::fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};
use tempfile::TempDir;
use tidegate::{Breaker, BreakerState, Error, Handle, MountStats, Route};
use tidegate_rig::{HoldGuard, Request, Requirements, StalledFuse};
use tokio::runtime::Runtime;

/// Everything here ends long before this, or not at all.
pub(crate) const WAIT: Duration = Duration::from_secs(20);
/// How long operations may take while the tree is held.
pub(crate) const SOON: Duration = Duration::from_millis(30);
/// How long the mount may take to answer: long enough for one that does, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_millis(500);

pub(crate) type Outcome = Result<(), Failed>;

pub(crate) fn trial(
    name: &str,
    route: Route,
    needs: Requirements,
    run: fn(&Scene) -> Outcome,
) -> Trial {
    let name = format!("{}::{name}", format!("{route:?}").to_lowercase());
    let shown = name.clone();
    Trial::ignorable_test(name, move || {
        let mut missing = needs.missing();
        if let (Route::Ring, Some(reason)) = (route, tidegate::probe::report().ring_reason()) {
            missing.push(format!("a ring: {reason}"));
        }
        if !missing.is_empty() {
            let reason = missing.join(", ");
            println!("skip: {shown}: {reason}");
            return Ok(Completion::ignored_with(reason));
        }
        run(&Scene::new(route)?)?;
        wait_until("the threads are gone", || threads("tidegate-probe") == 0)?;
        Ok(Completion::Completed)
    })
}

pub(crate) fn ensure(truth: bool, what: impl Into<String>) -> Outcome {
    if truth {
        Ok(())
    } else {
        Err(what.into().into())
    }
}

/// Waits for something that happens by itself.
pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) -> Outcome {
    let end = Instant::now() + WAIT;
    while !happened() {
        ensure(Instant::now() < end, format!("never: {what}"))?;
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// How many threads of this process have this name.
pub(crate) fn threads(name: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let names = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|found| found.trim_end() == name).count()
}

/// A runtime with a handle that loses its patience soon.
pub(crate) struct Host {
    runtime: Runtime,
    pub(crate) handle: Handle,
}

impl Host {
    pub(crate) fn new(route: Route) -> Result<Host, Failed> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        let mut breaker = Breaker::default();
        breaker.probe_patience = PATIENCE;
        let handle = runtime
            .block_on(async { Handle::builder().route(route).breaker(breaker).install() })?;
        Ok(Host { runtime, handle })
    }

    /// Runs it to its end.
    pub(crate) fn run<T>(&self, what: impl Future<Output = T>) -> Result<T, Failed> {
        let what = async { tokio::time::timeout(WAIT, what).await };
        let over = self.runtime.block_on(what);
        over.map_err(|_| "does not come to an end".into())
    }

    pub(crate) fn stats(&self, point: &Path) -> MountStats {
        let mut mounts = self.handle.mounts().into_iter();
        let found = mounts.find(|mount| mount.point.as_deref() == Some(point));
        found.unwrap_or_default()
    }
}

pub(crate) struct Scene {
    pub(crate) route: Route,
    pub(crate) host: Host,
    pub(crate) healthy: TempDir,
    pub(crate) tree: StalledFuse,
}

impl Scene {
    fn new(route: Route) -> Result<Scene, Failed> {
        let options = StalledFuse::options().with_max_hold(Duration::from_secs(60));
        let tree = options.create()?;
        for name in ["fine", "stuck"] {
            fs::write(tree.backing_path().join(name), name)?;
        }
        let scene = Scene {
            route,
            host: Host::new(route)?,
            healthy: tempfile::tempdir()?,
            tree,
        };
        scene.meet(&scene.host)?;
        Ok(scene)
    }

    /// Uses the mount until the handle knows where it is.
    pub(crate) fn meet(&self, host: &Host) -> Outcome {
        let path = self.path("fine");
        wait_until("the mount is known", || {
            let used = host.run(tidegate::fs::metadata(&path));
            used.is_ok_and(|used| used.is_ok()) && host.stats(self.point()).point.is_some()
        })
    }

    pub(crate) fn point(&self) -> &Path {
        self.tree.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.tree.path().join(name)
    }

    pub(crate) fn stats(&self) -> MountStats {
        self.host.stats(self.point())
    }

    /// Nothing in the tree is answered any more.
    pub(crate) fn hold(&self) -> io::Result<HoldGuard> {
        self.tree.hold(&Request::ALL, "")
    }

    pub(crate) fn wait_state(&self, state: BreakerState) -> Outcome {
        let what = format!("{state:?}");
        wait_until(&what, || self.stats().state == state)
    }
}

/// Whether it was refused because this mount does not answer.
pub(crate) fn is_refused(error: &io::Error, point: &Path) -> bool {
    let typed = Error::from_io(error);
    matches!(typed, Some(Error::MountUnresponsive { mount_point, .. }) if mount_point == point)
}
