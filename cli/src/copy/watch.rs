//! Says which operations are stuck: one line each, after ten seconds and then ever more seldom.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use tidegate::opcode::Kind;
use tidegate::{Handle, OpInFlight, OpState};

use crate::explain::{line, shortened};
use crate::say;

/// An operation that did not get on for this long is named.
const FIRST_AFTER: Duration = Duration::from_secs(10);

/// An operation that does not get on.
#[derive(Clone, Debug)]
pub(super) struct Stuck {
    pub(super) operation: Kind,
    pub(super) path: Option<PathBuf>,
    pub(super) still_for: Duration,
}

impl Stuck {
    fn of(op: OpInFlight) -> Stuck {
        Stuck {
            operation: op.operation,
            path: op.path,
            still_for: op.still_for,
        }
    }

    /// Operation, path and how long.
    pub(super) fn name(&self) -> String {
        let path = self.path.as_deref().map_or("-".into(), line);
        let seconds = self.still_for.as_secs();
        format!("{} {path} for {seconds} s", self.operation)
    }
}

/// What somebody waits for, the oldest first.
pub(super) fn waited_for(handle: &Handle) -> Vec<Stuck> {
    let waited_for = |op: &OpInFlight| op.state != OpState::Orphaned;
    let ops = handle.in_flight().into_iter();
    ops.filter(waited_for).map(Stuck::of).collect()
}

/// What the kernel, or a thread, still has although it was given up.
pub(super) fn given_up(handle: &Handle) -> Vec<Stuck> {
    let given_up = |op: &OpInFlight| op.state == OpState::Orphaned;
    let ops = handle.in_flight().into_iter();
    ops.filter(given_up).map(Stuck::of).collect()
}

/// Names what is stuck, until it is aborted. The heartbeat comes also while everything else hangs.
pub(super) async fn watch(handle: Handle) {
    let mut beats = handle.heartbeat();
    let mut told = Told::default();
    while beats.changed().await.is_ok() {
        let oldest = beats.borrow_and_update().oldest.clone();
        if oldest.is_some_and(|op| op.age >= FIRST_AFTER) {
            // What was given up was named then.
            let lines = told.due(&waited_for(&handle));
            lines.iter().for_each(|line| say::err(line));
        } else {
            told = Told::default();
        }
    }
}

/// When each operation that is stuck is named next.
#[derive(Debug, Default)]
struct Told {
    next: HashMap<(Kind, Option<PathBuf>), Duration>,
}

impl Told {
    /// The lines that are due: after 10 s, 20 s, 40 s and so on of each operation.
    fn due(&mut self, ops: &[Stuck]) -> Vec<String> {
        let mut next = HashMap::new();
        let mut due = Vec::new();
        for op in ops.iter().filter(|op| op.still_for >= FIRST_AFTER) {
            let name = (op.operation, op.path.clone());
            if next.contains_key(&name) {
                continue;
            }
            let mut at = self.next.remove(&name).unwrap_or(FIRST_AFTER);
            if op.still_for >= at {
                due.push(format!("tidegate: stuck: {}", op.name()));
                while at <= op.still_for {
                    at *= 2;
                }
            }
            next.insert(name, at);
        }
        self.next = next;
        shortened(due)
    }
}

/// What the kernel still has at the end.
pub(super) fn held(ops: Vec<OpInFlight>) -> Vec<String> {
    let ops = ops.into_iter().map(Stuck::of);
    ops.map(|op| format!("    {}", op.name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::LINES_MAX;

    fn stuck(path: &str, seconds: u64) -> Stuck {
        Stuck {
            operation: Kind::Open,
            path: Some(path.into()),
            still_for: Duration::from_secs(seconds),
        }
    }

    /// Each operation has its own line, at ever longer intervals, whatever the number of looks.
    #[test]
    fn a_line_for_each_at_growing_intervals() {
        let mut told = Told::default();
        let mut said = Vec::new();
        for seconds in 0..=50 {
            let ops = [stuck("/a", seconds), stuck("/b", seconds / 2)];
            for line in told.due(&ops).into_iter().chain(told.due(&ops)) {
                said.push((seconds, line));
            }
        }
        let expected = [
            (10, "tidegate: stuck: open /a for 10 s"),
            (20, "tidegate: stuck: open /a for 20 s"),
            (20, "tidegate: stuck: open /b for 10 s"),
            (40, "tidegate: stuck: open /a for 40 s"),
            (40, "tidegate: stuck: open /b for 20 s"),
        ];
        let said: Vec<_> = said.iter().map(|(at, line)| (*at, &**line)).collect();
        assert_eq!(said, expected);
    }

    /// A flood is counted, and an operation that begins anew begins to count anew.
    #[test]
    fn a_flood_is_counted_and_a_new_one_begins_anew() {
        let mut told = Told::default();
        let many: Vec<_> = (0..50).map(|at| stuck(&format!("/{at}"), 10)).collect();
        let lines = told.due(&many);
        assert_eq!(
            (lines.len(), &*lines[LINES_MAX]),
            (LINES_MAX + 1, "    and 30 more")
        );
        assert!(told.due(&many).is_empty());
        assert!(told.due(&[stuck("/1", 0)]).is_empty());
        assert_eq!(told.due(&[stuck("/1", 10)]).len(), 1);
    }
}
