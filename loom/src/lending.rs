//! The slots of a pool of buffers: each is with one thread at a time, whoever waits for one gets it, and a pool that
//! changes its size ends with as many as it is to have. A waiter that nobody wakes ends the model as a deadlock.
//!
//! What `BufPool::wait` does with them is played here in a few lines.

use std::sync::Arc;

use loom::thread::spawn;

use super::slots::Slots;

fn check(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

/// A buffer, with how often it was lent.
type Buffer = u64;

fn made(count: usize) -> Result<Vec<Buffer>, ()> {
    Ok(vec![0; count])
}

fn pool(count: usize) -> Arc<Slots<Buffer>> {
    let pool = Slots::new();
    pool.resize(count, made).unwrap();
    Arc::new(pool)
}

/// As `FixedBuf` is lent and dropped.
fn lend(pool: &Slots<Buffer>) -> Option<()> {
    let (number, times) = pool.take()?;
    pool.give(number, times + 1);
    Some(())
}

/// As `BufPool::wait`.
fn wait(pool: &Slots<Buffer>) -> (usize, Buffer) {
    let _mark = pool.waiting.mark();
    loop {
        if let Some(taken) = pool.take() {
            return taken;
        }
        pool.returned.wait();
    }
}

/// Takes all that is free, and says how many those are and how often they were lent.
fn all(pool: &Slots<Buffer>) -> (usize, u64) {
    let all: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
    (all.len(), all.iter().map(|(_, times)| times).sum())
}

/// R50, R56: what one owner did with a slot is over before the next one has it.
#[test]
fn a_slot_is_with_one_thread_at_a_time() {
    check(|| {
        let pool = pool(2);
        let lending = || {
            let pool = pool.clone();
            spawn(move || lend(&pool).is_some())
        };
        let others = [lending(), lending()];
        let mut had = u64::from(lend(&pool).is_some());
        for other in others {
            had += u64::from(other.join().unwrap());
        }
        assert!(had >= 2, "two are enough for two");
        assert_eq!((pool.stats().in_use, pool.stats().count), (0, 2));
        assert_eq!(all(&pool), (2, had));
    });
}

/// Whoever waits while the last slot is lent gets it, however close the return.
#[test]
fn whoever_waits_is_woken() {
    check(|| {
        let pool = pool(1);
        let (number, buffer) = pool.take().unwrap();
        let returning = spawn({
            let pool = pool.clone();
            move || pool.give(number, buffer)
        });
        let thieving = spawn({
            let pool = pool.clone();
            move || lend(&pool)
        });
        let (number, buffer) = wait(&pool);
        pool.give(number, buffer);
        returning.join().unwrap();
        thieving.join().unwrap();
        assert_eq!((pool.stats().in_use, pool.stats().waiting), (0, 0));
    });
}

/// Whoever waits gets what a pool grows by.
#[test]
fn growing_wakes_who_waits() {
    check(|| {
        let pool = pool(1);
        let lent = pool.take().unwrap();
        let growing = spawn({
            let pool = pool.clone();
            move || pool.resize(2, made).unwrap()
        });
        let (number, buffer) = wait(&pool);
        growing.join().unwrap();
        pool.give(number, buffer);
        pool.give(lent.0, lent.1);
        assert_eq!((pool.stats().in_use, pool.stats().count), (0, 2));
    });
}

/// A pool that shrinks while its slots come back ends with as many as it is to have.
#[test]
fn what_is_owed_goes() {
    check(|| {
        let pool = pool(2);
        let lent = [pool.take().unwrap(), pool.take().unwrap()];
        let returning = lent.map(|(number, buffer)| {
            let pool = pool.clone();
            spawn(move || pool.give(number, buffer))
        });
        pool.resize(1, made).unwrap();
        for other in returning {
            other.join().unwrap();
        }
        assert_eq!((pool.stats().in_use, pool.stats().count), (0, 1));
        assert_eq!(all(&pool).0, 1);
    });
}

/// What was owed and came back while the pool grew again is neither lost nor there twice.
#[test]
fn shrinking_and_growing_at_once_end_as_the_last_one_said() {
    check(|| {
        let pool = pool(2);
        let (number, buffer) = pool.take().unwrap();
        let returning = spawn({
            let pool = pool.clone();
            move || pool.give(number, buffer)
        });
        pool.resize(1, made).unwrap();
        pool.resize(2, made).unwrap();
        returning.join().unwrap();
        assert_eq!((pool.stats().in_use, pool.stats().count), (0, 2));
        assert_eq!(all(&pool).0, 2);
    });
}
