//! A bound on bytes: of reads in flight, or of whatever else takes memory.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::base::lock::lock;
use crate::driver;
use crate::error::{Error, LeftBehind};

#[derive(Default)]
struct State {
    used: u64,
    peak: u64,
    is_closed: bool,
    last: u64,
    waiting: VecDeque<Waiter>,
}

struct Waiter {
    number: u64,
    bytes: u64,
    is_granted: bool,
    waker: Option<Waker>,
}

struct Budget {
    capacity: u64,
    state: Mutex<State>,
}

/// A bound on the bytes that are in flight at a time, which clones share.
///
/// Whoever wants more than is free waits, in the order in which they came, so that a large one is not overtaken for ever by
/// small ones. One that is larger than all of the budget waits for all of it, and is alone then.
///
/// # Examples
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::fs::{self, ByteBudget, Expected};
/// let budget = ByteBudget::new(64 << 20);
/// let expected = Expected::from(&fs::statx("/etc/passwd").await?);
/// let held = budget.acquire(expected.size()).await?;
/// let bytes = fs::read_unchanged("/etc/passwd", &expected).await?;
/// // The bytes are in use until here.
/// drop((bytes, held));
/// assert_eq!((budget.in_flight(), budget.peak()), (0, expected.size()));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ByteBudget(Arc<Budget>);

/// Bytes of a [`ByteBudget`], which are free again when this is dropped.
///
/// See [`ByteBudget`].
pub struct BytesInFlight {
    budget: Arc<Budget>,
    bytes: u64,
}

impl ByteBudget {
    /// A budget of so many bytes; of none at all, each holder is alone.
    ///
    /// See [`ByteBudget`].
    pub fn new(capacity: u64) -> ByteBudget {
        let state = Mutex::default();
        ByteBudget(Arc::new(Budget { capacity, state }))
    }

    /// Takes so many bytes, as soon as they are free.
    ///
    /// # Cancel safety
    ///
    /// No effect: whoever gives up has taken nothing, and has lost the place in the queue.
    ///
    /// # Errors
    ///
    /// [`Error::BudgetClosed`] once it is closed, and those of a limit ([`OpExt`](crate::OpExt)).
    ///
    /// # Backend
    ///
    /// None: the kernel is not asked.
    ///
    /// # Examples
    ///
    /// See [`ByteBudget`].
    pub async fn acquire(&self, bytes: u64) -> io::Result<BytesInFlight> {
        let begun = Instant::now();
        let mut place = Place {
            budget: self.0.clone(),
            bytes: bytes.min(self.0.capacity.max(1)),
            number: None,
        };
        poll_fn(|cx| match driver::refused() {
            Some(why) => {
                let left = LeftBehind::NothingHappened;
                Poll::Ready(Err(why.error(None, None, begun.elapsed(), left).into()))
            }
            None => place.poll(cx),
        })
        .await
    }

    /// Lets nobody take anything any more; whoever waits is told. What is held stays so until it is dropped.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::{Error, fs::ByteBudget};
    /// let budget = ByteBudget::new(10);
    /// budget.close();
    /// let error = budget.acquire(1).await.err().unwrap();
    /// assert!(matches!(Error::from_io(&error), Some(Error::BudgetClosed)));
    /// # Ok(()) }
    /// ```
    pub fn close(&self) {
        let mut state = lock(&self.0.state);
        state.is_closed = true;
        let wakers: Vec<_> = state
            .waiting
            .iter_mut()
            .map(|waiter| waiter.waker.take())
            .collect();
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// How many bytes it has.
    ///
    /// ```
    /// assert_eq!(tidegate::fs::ByteBudget::new(10).capacity(), 10);
    /// ```
    pub fn capacity(&self) -> u64 {
        self.0.capacity
    }

    /// How many bytes are taken; what is larger than the budget counts as all of it.
    ///
    /// See [`ByteBudget`].
    pub fn in_flight(&self) -> u64 {
        lock(&self.0.state).used
    }

    /// The most that were taken at a time so far.
    ///
    /// See [`ByteBudget`].
    pub fn peak(&self) -> u64 {
        lock(&self.0.state).peak
    }
}

impl BytesInFlight {
    /// How many bytes of the budget these are.
    ///
    /// See [`ByteBudget`].
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl fmt::Debug for ByteBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteBudget")
            .field("capacity", &self.capacity())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for BytesInFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BytesInFlight")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Drop for BytesInFlight {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

impl Budget {
    fn give(&self, bytes: u64) {
        let mut state = lock(&self.state);
        state.used -= bytes;
        let wakers = state.grant(self.capacity);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Nobody waits in this place any more; what it was granted is free again.
    fn leave(&self, number: u64) {
        let mut state = lock(&self.state);
        let place = state
            .waiting
            .iter()
            .position(|waiter| waiter.number == number);
        let Some(waiter) = place.and_then(|place| state.waiting.remove(place)) else {
            return;
        };
        if waiter.is_granted {
            state.used -= waiter.bytes;
        }
        let wakers = state.grant(self.capacity);
        drop((state, waiter));
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn fits(&self, bytes: u64, capacity: u64) -> bool {
        // Where the budget is nothing at all, one byte stands for everything.
        self.used + bytes <= capacity.max(1)
    }

    fn take(&mut self, bytes: u64) {
        self.used += bytes;
        self.peak = self.peak.max(self.used);
    }

    /// Gives what is free to those who wait longest.
    fn grant(&mut self, capacity: u64) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for at in 0..self.waiting.len() {
            let (bytes, is_granted) = (self.waiting[at].bytes, self.waiting[at].is_granted);
            if is_granted {
                continue;
            }
            if !self.fits(bytes, capacity) {
                break;
            }
            self.take(bytes);
            self.waiting[at].is_granted = true;
            wakers.extend(self.waiting[at].waker.take());
        }
        wakers
    }
}

/// Somebody who wants bytes.
struct Place {
    budget: Arc<Budget>,
    bytes: u64,
    number: Option<u64>,
}

impl Place {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<io::Result<BytesInFlight>> {
        let mut state = lock(&self.budget.state);
        if state.is_closed {
            return Poll::Ready(Err(Error::BudgetClosed.into()));
        }
        let Some(number) = self.number else {
            if state.waiting.is_empty() && state.fits(self.bytes, self.budget.capacity) {
                state.take(self.bytes);
                return Poll::Ready(Ok(self.taken()));
            }
            state.last += 1;
            let waiter = Waiter {
                number: state.last,
                bytes: self.bytes,
                is_granted: false,
                waker: Some(cx.waker().clone()),
            };
            self.number = Some(state.last);
            state.waiting.push_back(waiter);
            return Poll::Pending;
        };
        let place = state
            .waiting
            .iter()
            .position(|waiter| waiter.number == number);
        let Some(place) = place else {
            return Poll::Pending;
        };
        if !state.waiting[place].is_granted {
            state.waiting[place].waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.waiting.remove(place);
        drop(state);
        self.number = None;
        Poll::Ready(Ok(self.taken()))
    }

    fn taken(&self) -> BytesInFlight {
        BytesInFlight {
            budget: self.budget.clone(),
            bytes: self.bytes,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.budget.leave(number);
        }
    }
}
