//! The threads of this process, by name.

use std::fs;
use std::time::{Duration, Instant};

/// How long threads may take to end once nothing holds them.
const END_MAX: Duration = Duration::from_secs(5);

/// Threads that serve the whole process: the watchdog, and what it has to say, which end when they are idle.
const OF_PROCESS: [&str; 4] = [
    "tidegate-beat",
    "tidegate-help",
    "tidegate-log",
    "tidegate-watch",
];

/// The threads that run operations.
fn running() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    let ours = names.filter(|name| name.starts_with("tidegate-") || name.starts_with("iou-wrk"));
    let mut ours: Vec<_> = ours.map(|name| name.trim_end().to_owned()).collect();
    ours.retain(|name| !OF_PROCESS.contains(&name.as_str()));
    ours
}

/// Waits until the runtime's lanes and pools are gone.
pub(crate) fn wait_gone() -> Result<(), String> {
    let end = Instant::now() + END_MAX;
    loop {
        let left = running();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(format!("threads are left: {left:?}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the thread with this id is still there, in the kernel's own list.
pub(crate) fn has_thread(id: u32) -> bool {
    fs::exists(format!("/proc/self/task/{id}")).unwrap_or(true)
}
