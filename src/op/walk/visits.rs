//! Entries for which the caller's closure runs, on the walking threads. It may take as long as it likes: what was made
//! before is handed over meanwhile, and what is behind it is for other threads.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::Shared;
use super::board::{Harvest, Task};
use super::found::{Chunk, Found, Marker, Row, WalkCall};
use super::node::Use;
use super::worker::{Doing, Worker};
use crate::base::clock::coarse_ms;
use crate::base::lock::lock;
use crate::limits;

/// What a thread has before it, and what it has made, for whoever looks from outside.
pub(super) struct Visits<T> {
    dir: Use,
    chunk: Arc<Chunk>,
    sheet: Mutex<Sheet<T>>,
}

struct Sheet<T> {
    rows: VecDeque<Row>,
    made: Harvest<T>,
    /// When the entry began that it is at.
    since_ms: u64,
}

impl<T: Send> Shared<T> {
    /// Runs the closure for one entry after the other, until there is none, or others have the rest.
    pub(super) fn visit(
        self: &Arc<Self>,
        me: &Worker,
        dir: &Use,
        chunk: &Arc<Chunk>,
        rows: VecDeque<Row>,
    ) {
        let mut handed_over_ms = coarse_ms();
        let visits = Arc::new(Visits {
            dir: dir.clone(),
            chunk: chunk.clone(),
            sheet: Mutex::new(Sheet {
                rows,
                made: Harvest::new(0),
                since_ms: handed_over_ms,
            }),
        });
        lock(&self.visits).push(visits.clone());
        let marker = Marker::new(chunk);
        me.begin(WalkCall::Visit, Doing::Visit(marker.clone()));
        let mut one = Harvest::new(0);
        loop {
            let (row, is_due) = {
                let mut sheet = lock(&visits.sheet);
                sheet.made.items.append(&mut one.items);
                sheet.made.tasks.append(&mut one.tasks);
                sheet.made.numbers.add(&std::mem::take(&mut one.numbers));
                sheet.since_ms = coarse_ms();
                me.since_ms.store(sheet.since_ms, Ordering::Relaxed);
                let is_due = sheet.since_ms != handed_over_ms;
                if is_due {
                    handed_over_ms = sheet.since_ms;
                    std::mem::swap(&mut sheet.made, &mut one);
                }
                (sheet.rows.pop_front(), is_due)
            };
            if is_due {
                self.hand_over(&mut one);
            }
            let Some(row) = row.filter(|_| !self.is_stopped()) else {
                break;
            };
            marker.at(&row);
            self.consider(dir, Found::new(chunk, row), &mut one);
        }
        me.end(&self.late);
        lock(&self.visits).retain(|other| !Arc::ptr_eq(other, &visits));
        let mut made = std::mem::replace(&mut lock(&visits.sheet).made, Harvest::new(0));
        self.hand_over(&mut made);
    }

    /// Hands over what threads have made that are in a closure for long, and gives others what is behind it. Where the
    /// names have an order, there are no others.
    pub(super) fn share_visits(&self) {
        if !self.visitor.is_foreign {
            return;
        }
        let after_ms = limits::WALK_STUCK_AFTER.as_millis() as u64;
        let mut shared = Vec::new();
        // Under the lock, so that nothing is let go of here whose descriptor would be closed for it.
        for visits in lock(&self.visits).iter() {
            let mut sheet = lock(&visits.sheet);
            if coarse_ms() < sheet.since_ms.saturating_add(after_ms) {
                continue;
            }
            let made = std::mem::replace(&mut sheet.made, Harvest::new(0));
            let rows = match self.wants_sorted_names() {
                true => VecDeque::new(),
                false => std::mem::take(&mut sheet.rows),
            };
            let task = (!rows.is_empty()).then(|| {
                self.more(&visits.dir.node);
                Task::Visit {
                    dir: visits.dir.clone(),
                    chunk: visits.chunk.clone(),
                    rows,
                }
            });
            shared.push((made, task));
        }
        for (mut made, task) in shared {
            self.hand_over(&mut made);
            if let Some(task) = task {
                self.push(task);
            }
        }
    }
}
