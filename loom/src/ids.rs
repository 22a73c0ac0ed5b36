//! The ids of buffer groups: whoever comes when, each is with one at a time, and there are never more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::sync::atomic::AtomicU32;
use loom::thread::spawn;

use super::bgid::{Bgid, Bgids, Exhausted, Warning};

fn told(got: &mut Result<Bgid, Exhausted>) -> Option<Warning> {
    match got {
        Ok(id) => id.take_warning(),
        Err(refused) => refused.warning,
    }
}

/// R33, R36, R41: three callers for two ids. Two have one each, one has none, and one of them is told of each.
#[test]
fn no_more_ids_are_handed_out_than_there_are() {
    loom::model(|| {
        let ids = Arc::new(Bgids::new(2));
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let ids = ids.clone();
                spawn(move || ids.acquire(0))
            })
            .collect();
        let mut got = vec![ids.acquire(0)];
        got.extend(callers.into_iter().map(|caller| caller.join().unwrap()));
        let warnings: Vec<_> = got.iter_mut().filter_map(told).collect();
        let halves = warnings
            .iter()
            .filter(|warning| matches!(warning, Warning::HalfUsed(_)));
        assert_eq!((halves.count(), warnings.len()), (1, 2));
        let mut numbers: Vec<_> = got.iter().flatten().map(Bgid::id).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1]);
        drop(got);
        let now = ids.snapshot();
        assert_eq!((now.exhausted, now.in_flight, now.remaining), (1, 0, 2));
    });
}

/// R25, R37: while some give back and others ask, no id is with two, none is lost, none is refused that is
/// there, and who has one sees what the one before did. Its uses are counted with nothing to order them but the
/// ids themselves.
#[test]
fn what_comes_back_goes_to_one() {
    loom::model(|| {
        let ids = Arc::new(Bgids::new(2));
        let uses = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
        let comes_and_goes = |ids: &Arc<Bgids>, uses: &[AtomicU32; 2]| {
            let Ok(id) = ids.acquire(0) else { return false };
            let uses = &uses[usize::from(id.id())];
            let before = uses.load(Ordering::Relaxed);
            uses.store(before + 1, Ordering::Relaxed);
            true
        };
        let other = spawn({
            let (ids, uses) = (ids.clone(), uses.clone());
            move || comes_and_goes(&ids, &uses)
        });
        assert!(comes_and_goes(&ids, &uses), "two ids for two");
        assert!(comes_and_goes(&ids, &uses), "and again");
        assert!(other.join().unwrap());
        let uses = uses.iter().map(|uses| uses.load(Ordering::Relaxed));
        assert_eq!(uses.sum::<u32>(), 3);
        let now = ids.snapshot();
        assert_eq!((now.exhausted, now.in_flight, now.remaining), (0, 0, 2));
        assert!(now.peak <= 2);
    });
}

/// R37: the last id is refused or handed on, and is there afterwards in either case.
#[test]
fn the_last_id_is_never_lost() {
    loom::model(|| {
        let ids = Arc::new(Bgids::new(1));
        let held = ids.acquire(0).unwrap();
        let giving = spawn(move || drop(held));
        let got = ids.acquire(0);
        giving.join().unwrap();
        assert_eq!(got.as_ref().map_or(0, Bgid::id), 0);
        assert_eq!(ids.snapshot().exhausted, u64::from(got.is_err()));
        drop(got);
        assert_eq!(ids.acquire(0).unwrap().id(), 0);
    });
}
