//! Operations on many names at a time: chunks of them in each hop, so that a name costs its call and little else.
//!
//! A batch sorts its entries by mount ([`finder`]). Each mount's part has a queue and threads that take from it, of the
//! mount's own pool ([`crew`]). Each thread has a desk ([`desk`]), where it can be seen which entry it is in: one that
//! takes long is taken for stuck, and somebody else does what was behind it.

mod changes;
mod crew;
mod desk;
mod entries;
mod finder;
mod metadata;
mod opens;
mod paths;
mod reads;

use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use changes::{Change, Changes};
use crew::Crews;
use desk::Shared;
use entries::Entries;
pub(crate) use metadata::Attributes;
pub(crate) use opens::Opens;
pub(crate) use paths::Paths;
pub(crate) use reads::Reads;

use super::many::in_order;
use crate::deadline::OpExt;
use crate::driver;
use crate::error::Error;
use crate::limits;
use crate::settings::Route;

/// How a batch is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct How {
    /// Entries in work at a time, where the caller has said so.
    pub(crate) at_once: Option<usize>,
    /// How long one may take, where the caller has said so.
    pub(crate) entry_timeout: Option<Duration>,
    /// Each begins when the one before is over.
    pub(crate) in_turn: bool,
}

impl How {
    /// The most entries in work at a time.
    fn at_once(self, most: usize) -> usize {
        match self.in_turn {
            true => 1,
            false => self.at_once.unwrap_or(most).clamp(1, most),
        }
    }
}

/// Does all entries, and returns their results in their order.
pub(crate) async fn run<E: Entries>(entries: E, how: How) -> Vec<io::Result<E::Output>> {
    if entries.len() == 0 {
        return Vec::new();
    }
    let driver = match driver::current() {
        Ok(driver) => driver,
        Err(error) => return refused(entries.len(), &error.into()),
    };
    // Where the backend is the ring, each entry is one of the ring's; and a rule of the fake backend is for each.
    if driver.route() == Route::Ring || driver.has_faults() || driver.is_of_parent() {
        return one_by_one(entries, how).await;
    }
    let shared = Shared::new(entries, driver);
    let first = at_poll(&shared).await;
    Crews::new(shared, how, first).await
}

/// The same result for all.
pub(crate) fn refused<T>(count: usize, error: &io::Error) -> Vec<io::Result<T>> {
    let one = |_| Err(Error::same(error));
    (0..count).map(one).collect()
}

async fn one_by_one<E: Entries>(entries: E, how: How) -> Vec<io::Result<E::Output>> {
    let entries = Arc::new(entries);
    let each = (0..entries.len()).map(|index| {
        let entries = entries.clone();
        async move {
            let alone = entries.alone(index);
            match how.entry_timeout {
                Some(timeout) => alone.timeout(timeout).await,
                None => alone.await,
            }
        }
    });
    in_order(how.at_once(limits::BATCH_IN_FLIGHT), each).await
}

/// Does the first of a few entries at the poll, as long as the kernel has them in memory; returns how many.
async fn at_poll<E: Entries>(shared: &Arc<Shared<E>>) -> usize {
    let (entries, driver) = (&shared.entries, &shared.driver);
    let mut done = 0;
    if entries.len() > limits::BATCH_AT_POLL {
        return done;
    }
    while done < entries.len() && driver.attempts() {
        let Some(result) = entries.at_poll(driver, done) else {
            break;
        };
        driver.answered(entries.kind());
        shared.put_one(done, result.map_err(|error| shared.tell(done, error)));
        driver::spend().await;
        done += 1;
    }
    done
}
