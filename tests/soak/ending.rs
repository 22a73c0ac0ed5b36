//! The ways in which an operation of the soak ends: by itself, or given up at a random moment.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tidegate::buf::BufError;
use tidegate::{Error, LeftBehind, OpExt};
use tokio_util::sync::CancellationToken;

/// Small, seeded and good enough (splitmix64).
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// How an operation is to end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plan {
    Alone,
    Timeout(Duration),
    /// Cancelled by a token after so many turns of the scheduler.
    Cancel(u64),
    /// Dropped after so many polls.
    Drop(u64),
    /// Dropped at a moment of the clock.
    DropAfter(Duration),
}

impl Plan {
    pub(crate) fn random(random: &mut Random) -> Plan {
        match random.below(20) {
            0..=11 => Plan::Alone,
            _ => Plan::limited(random),
        }
    }

    /// Anything but waiting for it.
    pub(crate) fn limited(random: &mut Random) -> Plan {
        let micros = match random.below(4) {
            0 => 1 + random.below(20),
            1 | 2 => 20 + random.below(300),
            _ => 300 + random.below(4000),
        };
        match random.below(8) {
            0..=2 => Plan::Timeout(Duration::from_micros(micros)),
            3 | 4 => Plan::Cancel(random.below(6)),
            5 | 6 => Plan::Drop(random.below(4)),
            _ => Plan::DropAfter(Duration::from_micros(micros)),
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum End<T> {
    Done(T),
    /// It has had no effect, and will have none.
    Nothing,
    /// It may have had an effect, or may still have.
    Unknown,
}

impl<T> End<T> {
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> End<U> {
        match self {
            End::Done(value) => End::Done(f(value)),
            End::Nothing => End::Nothing,
            End::Unknown => End::Unknown,
        }
    }
}

/// The error of an operation, with the buffer or without.
pub(crate) trait Failed: From<Error> {
    fn error(&self) -> &io::Error;
}

impl Failed for io::Error {
    fn error(&self) -> &io::Error {
        self
    }
}

impl<B: Send + 'static> Failed for BufError<B>
where
    BufError<B>: From<Error>,
{
    fn error(&self) -> &io::Error {
        &self.error
    }
}

/// Runs an operation to the end that is planned for it. An error that no limit made fails the test.
pub(crate) async fn run<F, T, E>(plan: Plan, what: &str, future: F) -> End<T>
where
    F: Future<Output = Result<T, E>>,
    E: Failed,
{
    let result = match plan {
        Plan::Alone => future.await,
        Plan::Timeout(after) => future.timeout(after).await,
        Plan::Cancel(turns) => {
            let token = CancellationToken::new();
            let cancel = async {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                token.cancel();
            };
            futures::join!(future.cancel_on(&token), cancel).0
        }
        Plan::Drop(polls) => {
            let mut future = pin!(future);
            for _ in 0..polls {
                let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
                if let Poll::Ready(result) = polled {
                    return judge(what, result);
                }
                tokio::task::yield_now().await;
            }
            // Futures do nothing before they are polled.
            return if polls == 0 {
                End::Nothing
            } else {
                End::Unknown
            };
        }
        Plan::DropAfter(after) => match tokio::time::timeout(after, future).await {
            Ok(result) => result,
            Err(_) => return End::Unknown,
        },
    };
    judge(what, result)
}

fn judge<T, E: Failed>(what: &str, result: Result<T, E>) -> End<T> {
    let failed = match result {
        Ok(value) => return End::Done(value),
        Err(failed) => failed,
    };
    match Error::from_io(failed.error()) {
        Some(Error::TimedOut { left, .. } | Error::Cancelled { left, .. }) => match left {
            LeftBehind::NothingHappened => End::Nothing,
            _ => End::Unknown,
        },
        // Its runtime ended.
        Some(Error::Closed { .. }) => End::Unknown,
        // As many threads wait for peers as may.
        Some(Error::Saturated { .. }) => End::Nothing,
        _ => panic!("{what}: {:?}", failed.error()),
    }
}
