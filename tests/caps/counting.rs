//! What the process holds, by name.

use std::collections::HashMap;
use std::fs;

use tidegate::{Handle, Stats};

/// The most that was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Most {
    /// Blocking threads.
    pub(crate) pool: usize,
    /// Kernel workers of the ring that has most of them.
    pub(crate) workers: usize,
    pub(crate) lanes: usize,
    pub(crate) threads: usize,
    pub(crate) descriptors: usize,
    pub(crate) resident_kib: usize,
}

impl Most {
    /// Whether there are more threads than those that idle a while: of the process's own handle, which closes what
    /// is dropped when another is gone.
    pub(crate) fn are_more_than_idle(&self) -> bool {
        self.pool > 4 || self.workers > 4
    }

    pub(crate) fn look(&mut self) {
        let now = now();
        self.pool = self.pool.max(now.pool);
        self.workers = self.workers.max(now.workers);
        self.lanes = self.lanes.max(now.lanes);
        self.threads = self.threads.max(now.threads);
        self.descriptors = self.descriptors.max(now.descriptors);
        self.resident_kib = self.resident_kib.max(now.resident_kib);
    }
}

pub(crate) fn now() -> Most {
    let mut names: HashMap<String, usize> = HashMap::new();
    for task in fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        *names.entry(name.trim_end().to_owned()).or_default() += 1;
    }
    let of = |name: &str| names.get(name).copied().unwrap_or(0);
    let workers = names.iter().filter(|(name, _)| name.starts_with("iou-wrk"));
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|text| text.split_whitespace().next()?.parse().ok());
    Most {
        pool: of("tidegate-pool"),
        workers: workers.map(|(_, count)| *count).max().unwrap_or(0),
        lanes: of("tidegate-data") + of("tidegate-meta"),
        threads: names.values().sum(),
        descriptors: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        resident_kib: resident.unwrap_or(0),
    }
}

/// Everything that began is over or in flight, and is counted under no more than one way.
pub(crate) fn adds_up(handle: &Handle) -> Result<(), String> {
    let stats: Stats = handle.stats();
    let (mut started, mut ended) = (0, 0);
    for op in stats.ops() {
        let over = op.ok + op.failed + op.timed_out + op.cancelled + op.dropped + op.refused;
        let went = op.total() - op.at_poll;
        if over > op.started || went + op.refused > op.started {
            return Err(format!("{op:?}"));
        }
        started += op.started;
        ended += over;
    }
    // What nobody waits for is over for its caller.
    let left = stats.in_flight - stats.orphans;
    if started != ended + left {
        return Err(format!(
            "{started} started, {ended} ended, {left} in flight: {stats:?}"
        ));
    }
    Ok(())
}
