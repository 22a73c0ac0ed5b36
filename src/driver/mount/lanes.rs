//! The lanes of a mount: one of each class, further ones of those who wait for peers, and those that are wedged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, Weak};

use crate::base::lock::lock;
use crate::driver::job::load::Class;
use crate::driver::job::load::Share;
use crate::driver::job::queue::{Full, NotTaken};
use crate::driver::job::{Job, RingJob};
use crate::driver::mount::group::Group;
use crate::driver::ring::lane::{Lane, Owner};
use crate::events;
use crate::limits;

/// The lanes of one class.
#[derive(Default)]
pub(super) struct Lanes {
    current: Option<Arc<Lane>>,
    /// Further ones, of those who wait for peers.
    others: Vec<Arc<Lane>>,
    wedged: Vec<Arc<Lane>>,
}

impl Lanes {
    fn all(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.current.iter().chain(&self.others).chain(&self.wedged)
    }

    /// Puts the current lane aside if it is full of operations that may wait for ever, so that there is room for
    /// those that they wait for. One that has room again takes its place.
    fn make_room(&mut self) {
        if self.current.as_ref().is_none_or(|lane| !lane.is_crowded()) {
            return;
        }
        let roomy = self.others.iter().position(|lane| !lane.is_crowded());
        if roomy.is_none() && self.others.len() >= limits::PEER_LANES_MAX {
            return;
        }
        let next = roomy.map(|at| self.others.swap_remove(at));
        self.others
            .extend(std::mem::replace(&mut self.current, next));
    }
}

impl Group {
    fn lanes(&self, class: Class) -> &Mutex<Lanes> {
        match class {
            Class::Data => &self.data,
            Class::Metadata => &self.metadata,
        }
    }

    /// Sends an operation to the lane of its class; back to the caller if there can be none.
    pub(crate) fn to_lane(self: &Arc<Self>, entry: RingJob) -> Result<(), NotTaken<RingJob>> {
        let class = Class::of(entry.job().load());
        let (is_kept, stuck) = (entry.job().is_kept(), self.stuck_count(Share::Lane(class)));
        if !is_kept && stuck >= limits::KERNEL_WORKERS_MAX as usize {
            return Err(NotTaken::Full(entry, Full { stuck }));
        }
        let Some(lane) = self.lane(class) else {
            return Err(NotTaken::NoQueue(entry));
        };
        entry.job().set_way(lane.clone());
        lane.push(entry, is_kept).map_err(|not| match not {
            NotTaken::Full(entry, _) => NotTaken::Full(entry, Full { stuck }),
            no_queue => no_queue,
        })
    }

    /// Whether its lane of that class has something to do.
    pub(crate) fn lane_is_busy(&self, class: Class) -> bool {
        let lane = lock(self.lanes(class)).current.clone();
        lane.is_some_and(|lane| lane.in_flight() > 0 || lane.waiting() > 0)
    }

    pub(super) fn lane_full(&self, class: Class) -> Option<Full> {
        let stuck = self.stuck_count(Share::Lane(class));
        let is_full = || {
            let lanes = lock(self.lanes(class));
            lanes
                .current
                .as_ref()
                .is_some_and(|lane| lane.is_overfull())
        };
        (stuck >= limits::KERNEL_WORKERS_MAX as usize || is_full()).then_some(Full { stuck })
    }

    fn lane(self: &Arc<Self>, class: Class) -> Option<Arc<Lane>> {
        if !self.ring_usable.load(Ordering::Relaxed) {
            return None;
        }
        let mut lanes = lock(self.lanes(class));
        // Asked under the lock, so that no lane starts after `close` has looked for them.
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        if self.mount.is_of_peers() {
            lanes.make_room();
        }
        if lanes.current.is_none() {
            let started = self.start_lane(class, self.workers_left(0));
            let error = match started {
                Ok(lane) => return Some(lanes.current.insert(lane).clone()),
                Err(error) => error,
            };
            drop(lanes);
            self.ring_broke(&error);
            return None;
        }
        lanes.current.clone()
    }

    fn start_lane(self: &Arc<Self>, class: Class, workers: u32) -> std::io::Result<Arc<Lane>> {
        let me: Weak<Group> = Arc::downgrade(self);
        let (mount, counters) = (self.mount.clone(), self.counters.clone());
        Lane::start(me, mount, counters, class, workers)
    }

    pub(super) fn tick_lanes(self: &Arc<Self>, now: u64) -> bool {
        [Class::Data, Class::Metadata]
            .into_iter()
            .map(|class| self.tick_class(class, now))
            .fold(false, |active, more| active | more)
    }

    fn tick_class(self: &Arc<Self>, class: Class, now: u64) -> bool {
        let mut lanes = lock(self.lanes(class));
        // A thread that ended holds its lane no longer.
        lanes.wedged.retain(|lane| Arc::strong_count(lane) > 1);
        lanes.all().for_each(|lane| lane.tick());
        let Some(lane) = lanes.current.clone() else {
            return false;
        };
        let is_busy = |lane: &Arc<Lane>| lane.in_flight() + lane.waiting() > 0;
        let active = lanes.all().any(is_busy) || !lanes.wedged.is_empty();
        if !lane.is_wedged(now) {
            return active;
        }
        self.mount.mark_stalled();
        if lanes.wedged.len() < limits::LANES_WEDGED_MAX && !self.closed.load(Ordering::Acquire) {
            let busy: usize = lanes.wedged.iter().map(|lane| lane.in_flight()).sum();
            let workers = self.workers_left(busy + lane.in_flight());
            if workers == 0 {
                return active;
            }
            let replaced = self.replace(&mut lanes, &lane, workers);
            drop(lanes);
            match replaced {
                Ok((moved, rest)) => {
                    for entry in rest {
                        entry.into_job().instead("no ring for a lane");
                    }
                    let (class, in_flight) = (class.name(), lane.in_flight());
                    events::report(move || events::lane_replaced(class, in_flight, moved));
                }
                Err(error) => {
                    self.ring_broke(&error);
                    for entry in lane.close(false) {
                        entry.into_job().instead("no ring for a lane");
                    }
                }
            }
        }
        active
    }

    /// Kernel workers for a lane, where other lanes of its class have so many operations in flight: together they
    /// have no more than one alone. On a disk of ours, where submissions sleep and lanes are replaced though no
    /// worker is busy, each replacement has one kept for it.
    fn workers_left(&self, busy: usize) -> u32 {
        let kept = if self.mount.is_local() {
            limits::LANES_WEDGED_MAX as u32
        } else {
            0
        };
        let left = limits::KERNEL_WORKERS_MAX.saturating_sub(kept + busy as u32);
        left.max(kept.min(1))
    }

    /// Puts a new lane in the place of a wedged one; returns how many operations moved, and those that it did
    /// not take.
    fn replace(
        self: &Arc<Self>,
        lanes: &mut Lanes,
        wedged: &Arc<Lane>,
        workers: u32,
    ) -> std::io::Result<(usize, Vec<RingJob>)> {
        let fresh = self.start_lane(wedged.class(), workers)?;
        let moved = wedged.close(false);
        let count = moved.len();
        self.counters.lane_replaced();
        let push = |entry: RingJob| {
            entry.job().set_way(fresh.clone());
            match fresh.push(entry, true) {
                Ok(()) => None,
                Err(NotTaken::NoQueue(entry) | NotTaken::Full(entry, _)) => Some(entry),
            }
        };
        let rest = moved.into_iter().filter_map(push).collect();
        lanes.wedged.push(wedged.clone());
        lanes.current = Some(fresh);
        Ok((count, rest))
    }

    fn all_lanes(&self) -> Vec<Arc<Lane>> {
        let both = [Class::Data, Class::Metadata].map(|class| lock(self.lanes(class)));
        both.iter().flat_map(|lanes| lanes.all()).cloned().collect()
    }

    pub(crate) fn lane_count(&self) -> usize {
        self.all_lanes().len()
    }

    pub(super) fn lanes_oldest_for_ms(&self, now: u64, at_least: u64) -> u64 {
        self.all_lanes()
            .iter()
            .map(|lane| lane.oldest_for_ms(now, at_least))
            .max()
            .unwrap_or(0)
    }

    pub(super) fn close_lanes(&self) -> Vec<Arc<dyn Job>> {
        self.all_lanes()
            .iter()
            .flat_map(|lane| lane.close(true))
            .map(RingJob::into_job)
            .collect()
    }
}

impl Owner for Group {
    /// No more rings for this mount: the pool does everything.
    fn ring_broke(&self, error: &std::io::Error) {
        if self.ring_usable.swap(false, Ordering::Relaxed) {
            let error = error.to_string();
            events::report(move || events::lane_without_ring(&error));
        }
    }
}
