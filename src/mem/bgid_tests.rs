//! The ids against the letter of what they promise, and against a reference set.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::scope;

use super::bgid::{Bgid, Bgids, Exhausted, Snapshot, Warning};
use super::limits;

const ALL: u32 = limits::BUFFER_GROUPS_MAX;

fn ids(cap: u32) -> Arc<Bgids> {
    Arc::new(Bgids::new(cap))
}

fn take(ids: &Arc<Bgids>, count: u32) -> Vec<Bgid> {
    (0..count).map(|_| ids.acquire(0).unwrap()).collect()
}

/// R25: from zero on, and what came back last first.
#[test]
fn ids_come_in_order_and_those_that_came_back_first() {
    let ids = ids(ALL);
    let mut held = take(&ids, 4);
    assert!(held.iter().map(Bgid::id).eq(0..4));
    drop(held.remove(1));
    drop(held.remove(2));
    let again = take(&ids, 3);
    let again: Vec<_> = again.iter().map(Bgid::id).collect();
    assert_eq!(again, [3, 1, 4]);
}

/// R24: two rings know nothing of each other.
#[test]
fn each_ring_has_all_ids() {
    let (one, other) = (ids(ALL), ids(ALL));
    let held = (one.acquire(0).unwrap(), other.acquire(0).unwrap());
    assert_eq!((held.0.id(), held.1.id()), (0, 0));
}

/// R23, R34, R37: all 65 536 are there at once, the first and the last among them; then none, and after one came
/// back that one.
#[test]
fn every_id_is_handed_out_and_then_none() {
    let ids = ids(ALL);
    let mut held = take(&ids, ALL);
    let all: HashSet<u16> = held.iter().map(Bgid::id).collect();
    assert_eq!(all.len(), 1 << 16);
    assert_eq!((held[0].id(), held[65_535].id()), (0, 65_535));
    let refused = ids.acquire(0).unwrap_err();
    assert_eq!((refused.fresh_used, refused.free_list_len), (65_536, 0));
    let full = Snapshot {
        exhausted: 1,
        in_flight: ALL,
        peak: ALL,
        remaining: 0,
    };
    assert_eq!(ids.snapshot(), full);
    drop(held.swap_remove(77));
    assert_eq!(ids.snapshot().remaining, 1);
    assert_eq!(ids.acquire(0).unwrap().id(), 77);
}

/// R34: what is capped runs out at its cap, and says so.
#[test]
fn a_cap_is_kept() {
    for cap in [1, 2, 63, 64, 65, 65_535] {
        let ids = ids(cap);
        let held = take(&ids, cap);
        for _ in 0..3 {
            let Exhausted {
                fresh_used,
                free_list_len,
                ..
            } = ids.acquire(0).unwrap_err();
            assert_eq!((fresh_used, free_list_len), (cap, 0));
        }
        assert_eq!(ids.snapshot().exhausted, 3);
        drop(held);
        assert_eq!(ids.snapshot().remaining, cap);
    }
}

/// R31, R32: the peak stays, what is in flight goes up and down.
#[test]
fn the_peak_never_falls() {
    let ids = ids(ALL);
    let mut held = take(&ids, 3);
    held.truncate(1);
    assert_eq!(ids.snapshot().in_flight, 1);
    held.extend(take(&ids, 99));
    assert_eq!(ids.snapshot().peak, 100);
    held.truncate(50);
    let snapshot = ids.snapshot();
    assert_eq!((snapshot.in_flight, snapshot.peak), (50, 100));
    held.extend(take(&ids, 51));
    assert_eq!(
        ids.snapshot().peak,
        101,
        "counted also for ids that came back"
    );
}

/// R27: whoever fails to register a group has given the id back.
#[test]
fn a_failure_after_it_was_handed_out_loses_no_id() {
    fn registers(ids: &Arc<Bgids>) -> Result<Bgid, &'static str> {
        let id = ids.acquire(0).map_err(|_| "none")?;
        Err("refused").map(|()| id)
    }
    let ids = ids(1);
    for _ in 0..3 {
        assert_eq!(registers(&ids).unwrap_err(), "refused");
    }
    assert_eq!(ids.snapshot().remaining, 1);
}

/// R29: an id that nobody has, or nobody ever had, is not taken back.
#[test]
fn a_second_release_does_nothing() {
    let ids = ids(ALL);
    ids.release_number(0);
    let held = take(&ids, 2);
    ids.release_number(2);
    ids.release_number(65_535);
    assert_eq!(ids.snapshot().in_flight, 2);
    drop(held);
    ids.release_number(0);
    ids.release_number(1);
    assert_eq!(ids.memory().0, [0, 1]);
    assert_eq!(ids.snapshot().in_flight, 0);
}

/// R30: unused it has no memory, in use it has room for 4 096, and coming and going makes no more of it.
#[test]
fn steady_churn_never_allocates() {
    let ids = ids(ALL);
    let sizes = || {
        let (_, free, live) = ids.memory();
        (free, live)
    };
    assert_eq!(sizes(), (0, 0));
    for round in 0..100 {
        drop(take(&ids, 4096));
        assert_eq!(sizes(), (8192, 8192), "round {round}");
    }
    drop(take(&ids, ALL));
    assert_eq!(sizes(), (128 << 10, 8192));
}

/// R40: a hundred thousand come and go, a few hundred at a time.
#[test]
fn a_hundred_thousand_leave_nothing_behind() {
    let ids = ids(ALL);
    let mut held = std::collections::VecDeque::new();
    for _ in 0..100_000 {
        held.push_back(ids.acquire(0).unwrap());
        if held.len() == 700 {
            held.pop_front();
        }
    }
    assert_eq!(ids.snapshot().peak, 700);
    held.clear();
    assert_eq!(ids.snapshot().in_flight, 0);
}

fn half(ids: &Arc<Bgids>, now_ms: u64) -> (Bgid, bool) {
    let mut id = ids.acquire(now_ms).unwrap();
    let told = matches!(id.take_warning(), Some(Warning::HalfUsed(_)));
    assert_eq!(id.take_warning(), None);
    (id, told)
}

/// R33: who reaches half of all ids is told, once, and not again within 30 s, however often it is reached.
#[test]
fn half_is_told_when_it_is_reached() {
    let ids = ids(ALL);
    let held = take(&ids, 32_767);
    let (last, told) = half(&ids, 1000);
    assert!(told, "32 768 are half");
    assert!(!half(&ids, 40_000).1, "it stays above");
    drop(last);
    assert!(!half(&ids, 30_999).1, "the window is open");
    let (last, told) = half(&ids, 31_000);
    assert!(told, "reached again, and the window is over");
    drop((last, held));
}

/// What is reached while the window is open is told at its end, if it is still so.
#[test]
fn half_is_told_later_when_it_was_told_lately() {
    let ids = ids(4);
    let held = take(&ids, 1);
    let (again, told) = half(&ids, 0);
    assert!(told);
    drop(again);
    let again = half(&ids, 10_000);
    assert!(!again.1);
    assert!(half(&ids, 30_000).1);
    drop(again);
    let again = half(&ids, 40_000);
    drop(again);
    drop(held);
    assert!(!half(&ids, 80_000).1, "it is less meanwhile");
}

/// R36: each failure is counted; one of a window is told, with the count of all.
#[test]
fn exhaustion_is_told_once_a_minute_with_the_count() {
    let ids = ids(2);
    let held = take(&ids, 2);
    let told = |now_ms| match ids.acquire(now_ms).unwrap_err().warning {
        Some(Warning::Exhausted(snapshot)) => Some(snapshot.exhausted),
        other => {
            assert_eq!(other, None);
            None
        }
    };
    let expected = [
        (5, Some(1)),
        (60_004, None),
        (60_005, Some(3)),
        // A clock that another thread read earlier.
        (60_000, None),
        (999_999, Some(5)),
    ];
    for (now_ms, count) in expected {
        assert_eq!(told(now_ms), count, "at {now_ms}");
    }
    drop(held);
    assert_eq!(ids.snapshot().peak, 2);
}

/// R33, R36: of many that reach it at once, one is told.
#[test]
fn one_of_many_is_told() {
    for _ in 0..20 {
        let ids = ids(64);
        let (halves, ends) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let together = Barrier::new(8);
        scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    together.wait();
                    let mut held = Vec::new();
                    for _ in 0..16 {
                        match ids.acquire(0) {
                            Ok(mut id) => {
                                halves
                                    .fetch_add(id.take_warning().iter().count(), Ordering::Relaxed);
                                held.push(id);
                            }
                            Err(refused) => {
                                ends.fetch_add(refused.warning.iter().count(), Ordering::Relaxed);
                            }
                        }
                    }
                    // All keep theirs until all have tried.
                    together.wait();
                });
            }
        });
        assert_eq!((halves.into_inner(), ends.into_inner()), (1, 1));
        assert_eq!(ids.snapshot().exhausted, 64);
    }
}

/// R41: of 65 536 callers for 65 535 ids, one gets none.
#[test]
fn one_caller_too_many_gets_none() {
    let ids = ids(ALL - 1);
    let together = Barrier::new(64);
    let got: Vec<Result<Bgid, Exhausted>> = scope(|scope| {
        let callers: Vec<_> = (0..64)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    (0..1024).map(|_| ids.acquire(0)).collect::<Vec<_>>()
                })
            })
            .collect();
        callers
            .into_iter()
            .flat_map(|caller| caller.join().unwrap())
            .collect()
    });
    let held: HashSet<u16> = got.iter().flatten().map(Bgid::id).collect();
    assert_eq!(held.len(), 65_535);
    assert!(!held.contains(&65_535));
    assert_eq!(got.iter().filter(|got| got.is_err()).count(), 1);
    assert_eq!(ids.snapshot().exhausted, 1);
}

/// R25, R38: 64 threads take and give back, no id is with two of them, and every snapshot adds up.
#[test]
fn no_id_is_with_two() {
    let ids = ids(1024);
    let live: Vec<_> = (0..1024).map(|_| AtomicBool::new(false)).collect();
    scope(|scope| {
        for thread in 0..64_usize {
            let (ids, live) = (&ids, &live);
            scope.spawn(move || {
                let mut held = Vec::new();
                for round in 0..2000 {
                    if held.len() <= (thread + round) % 20 {
                        let id = ids.acquire(0);
                        let Ok(id) = id else { continue };
                        let taken = live[usize::from(id.id())].swap(true, Ordering::SeqCst);
                        assert!(!taken, "{} is with two", id.id());
                        held.push(id);
                    } else if let Some(id) = held.pop() {
                        live[usize::from(id.id())].store(false, Ordering::SeqCst);
                    }
                    let snapshot = ids.snapshot();
                    assert_eq!(snapshot.in_flight + snapshot.remaining, 1024);
                    assert!(snapshot.in_flight <= snapshot.peak);
                }
                for id in held {
                    live[usize::from(id.id())].store(false, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(ids.snapshot().in_flight, 0);
}

/// A small generator: numbers that look random, the same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Another seed each time, printed, or the one from the environment.
fn seed() -> u64 {
    let given = std::env::var("TIDEGATE_SEED").ok();
    let given = given.and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
        now.map_or(1, |now| now.as_nanos() as u64 | 1)
    });
    eprintln!("TIDEGATE_SEED={seed}");
    seed
}

/// Random calls, each answered as a plain list of the free ids would.
#[test]
fn it_is_as_a_plain_list() {
    let mut random = Random(seed());
    for _ in 0..200 {
        let cap = 1 + random.below(200) as u32;
        let ids = ids(cap);
        let mut free: Vec<u16> = (0..cap as u16).rev().collect();
        let (mut held, mut expected) = (Vec::new(), Snapshot::default_of(cap));
        for _ in 0..1000 {
            match (random.below(5), free.is_empty()) {
                (0..=2, false) => {
                    let id = ids.acquire(0).unwrap();
                    assert_eq!(Some(id.id()), free.pop());
                    held.push(id);
                }
                (0..=2, true) => {
                    assert_eq!(ids.acquire(0).unwrap_err().fresh_used, cap);
                    expected.exhausted += 1;
                }
                (3, _) if !held.is_empty() => {
                    let id = held.swap_remove(random.below(held.len()));
                    free.push(id.id());
                }
                // An id that nobody has.
                _ => {
                    let id = random.next() as u16;
                    if !held.iter().any(|held: &Bgid| held.id() == id) {
                        ids.release_number(id);
                    }
                }
            }
            expected.in_flight = held.len() as u32;
            expected.peak = expected.peak.max(expected.in_flight);
            expected.remaining = free.len() as u32;
            assert_eq!(ids.snapshot(), expected);
        }
    }
}

impl Snapshot {
    fn default_of(cap: u32) -> Snapshot {
        Snapshot {
            exhausted: 0,
            in_flight: 0,
            peak: 0,
            remaining: cap,
        }
    }
}
