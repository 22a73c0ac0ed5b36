//! Waiting for a buffer of a pool: it comes, or the limit on the wait does (R50).

mod common;

use std::time::{Duration, Instant};

use common::on_each_route;
use tidegate::buf::{BufPool, FixedBuf};
use tidegate::{Error, LeftBehind, OpExt};
use tokio_util::sync::CancellationToken;

fn pool(count: usize) -> BufPool {
    BufPool::builder().count(count).size(1).build().unwrap()
}

async fn until_waiting(pool: &BufPool, count: usize) {
    while pool.stats().waiting != count {
        tokio::task::yield_now().await;
    }
}

/// What a wait that was given up has left behind.
fn left(error: &std::io::Error) -> LeftBehind {
    match Error::from_io(error) {
        Some(
            Error::TimedOut {
                left,
                operation: None,
                ..
            }
            | Error::Cancelled {
                left,
                operation: None,
                ..
            },
        ) => *left,
        other => panic!("{other:?}"),
    }
}

/// A limit ends the wait, with nothing left behind, and the buffer that comes later is somebody else's.
#[test]
fn a_wait_is_given_up_at_its_limit() {
    on_each_route(|_| async {
        let pool = pool(1);
        let lent = pool.acquire().await.unwrap();
        let after = Duration::from_millis(20);
        let begun = Instant::now();
        let error = pool.acquire().timeout(after).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(left(&error), LeftBehind::NothingHappened);
        assert!(begun.elapsed() >= after, "too soon");
        let token = CancellationToken::new();
        let waiting = tokio::spawn(pool.acquire().cancel_on(&token));
        until_waiting(&pool, 1).await;
        token.cancel();
        let error = waiting.await.unwrap().unwrap_err();
        assert_eq!(left(&error), LeftBehind::NothingHappened);
        assert_eq!((pool.stats().waiting, pool.stats().misses), (0, 2));
        // What is refused does not begin, and zero is no time.
        let error = pool.acquire().cancel_on(&token).await.unwrap_err();
        assert_eq!(left(&error), LeftBehind::NothingHappened);
        let error = pool.acquire().timeout(Duration::ZERO).await.unwrap_err();
        assert!(matches!(Error::from_io(&error), Some(Error::ZeroTimeout)));
        assert_eq!(pool.stats().acquires, 3);
        drop(lent);
        let limited = pool.acquire().timeout(Duration::from_secs(60));
        assert!(limited.await.is_ok());
        assert_eq!(pool.stats().in_use, 0);
    });
}

/// A limit is kept also in a process that has not done any operation yet.
#[test]
#[cfg(target_os = "linux")]
fn a_limit_is_kept_before_the_first_operation() {
    let test = "a_limit_is_kept_before_the_first_operation";
    common::child::in_child(
        test,
        |_| {},
        || {
            common::runtime(true).block_on(async {
                let pool = pool(1);
                let _lent = pool.get();
                let limited = pool.acquire().timeout(Duration::from_millis(5));
                let error = limited.await.unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
            });
        },
    );
}

/// One budget for a wait and what comes after it.
#[test]
fn a_block_with_a_wait_has_one_limit() {
    on_each_route(|_| async {
        let pool = pool(1);
        let lent = pool.get();
        let block = async {
            let buf = pool.acquire().await?;
            tidegate::fs::metadata("/").await?;
            Ok::<_, std::io::Error>(buf)
        };
        let error = block.timeout(Duration::from_millis(5)).await.unwrap_err();
        assert_eq!(left(&error), LeftBehind::NothingHappened);
        drop(lent);
    });
}

/// Many more tasks than buffers: all of them get one, none is lost, and none is lent twice.
#[test]
fn everybody_who_waits_gets_a_buffer() {
    common::runtime(true).block_on(async {
        let pool = pool(4);
        let tasks: Vec<_> = (0..200u32)
            .map(|task| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    for _ in 0..20 {
                        let mut buf = pool.acquire().await.unwrap();
                        buf.extend_from_slice(&task.to_ne_bytes());
                        tokio::task::yield_now().await;
                        assert_eq!(buf[..], task.to_ne_bytes());
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let stats = pool.stats();
        assert_eq!((stats.in_use, stats.waiting, stats.acquires), (0, 0, 4000));
    });
}

/// A waiter that is dropped just when its buffer came passes the word on.
#[test]
fn a_wake_up_is_not_lost_with_its_waiter() {
    common::runtime(true).block_on(async {
        for _ in 0..500 {
            let pool = pool(1);
            let lent = pool.try_acquire().unwrap();
            let mut dropped = Box::pin(pool.acquire());
            let mut second = Box::pin(pool.acquire());
            assert!(futures::poll!(dropped.as_mut()).is_pending());
            assert!(futures::poll!(second.as_mut()).is_pending());
            assert_eq!(pool.stats().waiting, 2);
            let returning = tokio::task::spawn_blocking(move || drop(lent));
            drop(dropped);
            second.await.unwrap();
            returning.await.unwrap();
        }
    });
}

/// A pool that grows has buffers for those who wait.
#[test]
fn growing_wakes_those_who_wait() {
    common::runtime(true).block_on(async {
        let pool = pool(1);
        let lent = pool.get();
        let waiting: Vec<_> = (0..5).map(|_| tokio::spawn(pool.acquire())).collect();
        until_waiting(&pool, 5).await;
        pool.resize(6).unwrap();
        let mut bufs: Vec<FixedBuf> = vec![lent];
        for waiter in waiting {
            bufs.push(waiter.await.unwrap().unwrap());
        }
        assert_eq!((pool.stats().in_use, pool.stats().waiting), (6, 0));
        // One that is owed does not go to a waiter.
        pool.resize(5).unwrap();
        let waiter = tokio::spawn(pool.acquire());
        until_waiting(&pool, 1).await;
        bufs.pop();
        assert_eq!((pool.stats().in_use, pool.stats().count), (5, 5));
        bufs.pop();
        waiter.await.unwrap().unwrap();
    });
}

/// Without a runtime, and from a thread that blocks on it.
#[test]
fn a_wait_needs_no_runtime() {
    let pool = pool(1);
    let lent = pool.get();
    let returning = std::thread::spawn({
        let pool = pool.clone();
        move || {
            while pool.stats().waiting == 0 {
                std::thread::yield_now();
            }
            drop(lent);
        }
    });
    futures::executor::block_on(pool.acquire()).unwrap();
    returning.join().unwrap();
    let lent = pool.get();
    let limited = pool.acquire().timeout(Duration::from_millis(5));
    let error = futures::executor::block_on(limited).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    drop(lent);
}
