//! What the process holds: descriptors and threads.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;

use crate::stage::{until, until_blocking};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Traces {
    descriptors: usize,
    threads: usize,
}

impl Traces {
    pub(crate) fn now() -> Traces {
        Traces {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
        }
    }

    /// Waits until no more is held than then. Idle threads end after a while.
    pub(crate) async fn return_to(self) -> Result<(), String> {
        let waited = until("descriptors and threads are back", || self.are_back()).await;
        waited.map_err(|error| self.explain(&error))
    }

    fn are_back(self) -> bool {
        let now = Traces::now();
        now.descriptors <= self.descriptors && now.threads <= self.threads
    }

    fn explain(self, error: &str) -> String {
        let now = Traces::now();
        format!(
            "{error}: {self:?} became {now:?}: {:?}, {:?}",
            threads(),
            open_files()
        )
    }
}

fn count(dir: &str) -> usize {
    fs::read_dir(dir).map_or(usize::MAX, Iterator::count)
}

/// The names of the threads of this process.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

fn open_files() -> Vec<String> {
    let links = fs::read_dir("/proc/self/fd").into_iter().flatten();
    let links = links.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.map(|link| link.display().to_string()).collect()
}

/// The threads that run operations, and the kernel's own, by their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Running(HashSet<OsString>);

impl Running {
    pub(crate) fn now() -> Running {
        let tasks = fs::read_dir("/proc/self/task")
            .into_iter()
            .flatten()
            .flatten();
        let ours = tasks.filter(|task| {
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            let of_the_process =
                ["tidegate-help", "tidegate-log", "tidegate-watch"].contains(&name.trim_end());
            (name.starts_with("tidegate-") || name.starts_with("iou-wrk")) && !of_the_process
        });
        Running(ours.map(|task| task.file_name()).collect())
    }

    /// Whether there are any that were not there before.
    pub(crate) fn has_more_than(&self, before: &Running) -> bool {
        !self.0.is_subset(&before.0)
    }

    /// Waits until lanes and pools are gone, and with them all that the kernel had of them. Those of the
    /// process's own handle that idle end after a while.
    pub(crate) fn wait_gone(&self) -> Result<(), String> {
        let gone = || !Running::now().has_more_than(self);
        until_blocking("no thread is left", gone)
            .map_err(|error| format!("{error}: {:?}", threads()))
    }
}
