//! What the process holds: descriptors and threads.

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
pub(crate) fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

fn open_files() -> Vec<String> {
    let links = fs::read_dir("/proc/self/fd").into_iter().flatten();
    let links = links.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.map(|link| link.display().to_string()).collect()
}

/// The threads that run operations, and the kernel's own: those of the process's own handle never end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running(usize);

impl Running {
    pub(crate) fn now() -> Running {
        Running(running().len())
    }

    pub(crate) fn are_more_than(self, before: Running) -> bool {
        self.0 > before.0
    }

    /// Waits until lanes and pools are gone, and with them all that the kernel had of them.
    pub(crate) fn wait_gone(self) -> Result<(), String> {
        until_blocking("no thread is left", || running().len() <= self.0)
            .map_err(|error| format!("{error}: {:?}", running()))
    }
}

fn running() -> Vec<String> {
    let mut all = threads();
    let of_the_process = ["tidegate-watch", "tidegate-log"];
    all.retain(|name| name.starts_with("tidegate-") || name.starts_with("iou-wrk"));
    all.retain(|name| !of_the_process.contains(&name.as_str()));
    all
}
