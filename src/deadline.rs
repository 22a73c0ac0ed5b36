//! Deadlines and cancels that callers set on futures of this crate.
//!
//! A limit is not a part of an operation's arguments: it is in force on the polling thread while the
//! limited future is polled, and whatever begins meanwhile takes it over. So it works on every future
//! that leads to operations of this crate, also on those of tokio's extension traits and on blocks of
//! several operations, and an operation that is answered at the poll does not even look at it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::base::clock::{NEVER, now_us};
use crate::driver::Alarm;
use crate::driver::scope::{InForce, Scope, Until, Why};
use crate::error::{Error, LeftBehind};
use crate::limits;

/// Deadlines and cancels for operations of this crate.
///
/// They apply to every operation that begins, or is waited for, while the future is polled: to any future
/// of [`fs`](crate::fs), to those of tokio's `AsyncReadExt` and its kin on a [`File`](crate::fs::File), and
/// to an `async` block of several operations, which then has one budget. Tasks that it spawns have their own.
///
/// The first limit that a caller sets takes the place of the handle's default; of several, the earliest
/// counts. Deadlines are kept by a thread of this crate: they hold also while the runtime is blocked, and
/// where it has no timer.
///
/// What the limited operation leaves behind is in the error: see [`LeftBehind`].
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use std::time::Duration;
/// use tidegate::{OpExt, fs};
/// let text = fs::read_to_string("/etc/passwd").timeout(Duration::from_secs(5)).await?;
/// # assert!(!text.is_empty());
/// # Ok(()) }
/// ```
pub trait OpExt: Future + Sized {
    /// Gives up so long after it first has to wait, without the time in which the process was stopped;
    /// [`Duration::MAX`] means never. A timeout of zero is refused with
    /// [`Error::ZeroTimeout`].
    ///
    /// # Cancel safety
    ///
    /// That of the future itself.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], of kind [`TimedOut`](std::io::ErrorKind::TimedOut).
    ///
    /// # Examples
    ///
    /// See [`OpExt`].
    fn timeout<T, E>(self, after: Duration) -> Limited<Self>
    where
        Self: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        Limited::new(self).until(Until::After(after))
    }

    /// Gives up at that moment, also if the process was stopped meanwhile. If it has passed, nothing begins.
    ///
    /// # Cancel safety
    ///
    /// That of the future itself.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use std::time::{Duration, Instant};
    /// use tidegate::{OpExt, fs};
    /// let deadline = Instant::now() + Duration::from_secs(5);
    /// for name in ["/etc/passwd", "/etc/group"] {
    ///     fs::read(name).deadline_at(deadline).await?;
    /// }
    /// # Ok(()) }
    /// ```
    fn deadline_at<T, E>(self, at: Instant) -> Limited<Self>
    where
        Self: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        Limited::new(self).until(Until::At(at))
    }

    /// Gives up when the token is cancelled. If it is already, nothing begins.
    ///
    /// # Cancel safety
    ///
    /// That of the future itself.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`], of kind [`Other`](std::io::ErrorKind::Other): no loop tries such an operation again.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() {
    /// use tidegate::{Error, OpExt, fs};
    /// let token = tokio_util::sync::CancellationToken::new();
    /// token.cancel();
    /// let error = fs::read("/etc/passwd").cancel_on(&token).await.unwrap_err();
    /// assert!(matches!(Error::from_io(&error), Some(Error::Cancelled { .. })));
    /// # }
    /// ```
    fn cancel_on<T, E>(self, token: &CancellationToken) -> Limited<Self>
    where
        Self: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        let mut limited = Limited::new(self);
        limited.tokens.push(Token {
            token: token.clone(),
            cancelled: None,
        });
        limited
    }
}

impl<F: Future> OpExt for F {}

pin_project_lite::pin_project! {
    /// A future with a limit.
    ///
    /// See [`OpExt`].
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Limited<F> {
        // Dropped as soon as it was given up.
        #[pin]
        future: Option<F>,
        scope: Scope,
        tokens: Vec<Token>,
        // When it was polled first, and first had to wait.
        begun: Option<Instant>,
        alarm: Option<(u64, Alarm)>,
    }
}

/// A token, and from the first wait on, the future that its cancel wakes.
struct Token {
    token: CancellationToken,
    cancelled: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Token {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let token = &self.token;
        let cancelled = self
            .cancelled
            .get_or_insert_with(|| Box::pin(token.clone().cancelled_owned()));
        cancelled.as_mut().poll(cx)
    }
}

impl<F> std::fmt::Debug for Limited<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limited")
            .field("until", &self.scope.until)
            .finish_non_exhaustive()
    }
}

impl<F> Limited<F> {
    pub(crate) fn new(future: F) -> Limited<F> {
        Limited {
            future: Some(future),
            scope: Scope::default(),
            tokens: Vec::new(),
            begun: None,
            alarm: None,
        }
    }

    pub(crate) fn until(mut self, until: Until) -> Limited<F> {
        self.scope.until = until;
        self
    }
}

impl<F, T, E> Future for Limited<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<Error>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        let mut this = self.project();
        if this.scope.until == Until::After(Duration::ZERO) {
            this.future.set(None);
            return Poll::Ready(Err(Error::ZeroTimeout.into()));
        }
        if this.scope.refuses.is_none() {
            this.scope.refuses = refuses(this.scope.until, this.tokens);
            if this.scope.refuses.is_some() {
                *this.alarm = None;
            }
        }
        let in_force = InForce::enter(this.scope);
        let future = this.future.as_mut().as_pin_mut();
        let polled = future
            .expect("a limited future was polled after it was ready")
            .poll(cx);
        drop(in_force);
        if polled.is_ready() {
            *this.alarm = None;
            return polled;
        }
        let begun = *this.begun.get_or_insert_with(Instant::now);
        match wait(this.scope, this.tokens, this.alarm, cx) {
            None => Poll::Pending,
            Some(why) => {
                // What it waits for is none of our operations, or one that it does not poll.
                this.future.set(None);
                let left = LeftBehind::MayHaveTakenEffect;
                let error = why.error(this.scope.last, None, begun.elapsed(), left);
                Poll::Ready(Err(error.into()))
            }
        }
    }
}

/// Whether the limit is passed before anything began. A timeout has not begun yet.
fn refuses(until: Until, tokens: &[Token]) -> Option<Why> {
    if tokens.iter().any(|token| token.token.is_cancelled()) {
        return Some(Why::Cancelled);
    }
    let is_over = match until {
        Until::At(at) => at <= Instant::now(),
        Until::By(by) => by <= now_us(),
        _ => false,
    };
    is_over.then_some(Why::TimedOut)
}

/// Has the task woken at the limit, and again a little later, when operations have had the time to end.
/// Returns why the future itself is to be given up, if it is.
fn wait(
    scope: &mut Scope,
    tokens: &mut [Token],
    alarm: &mut Option<(u64, Alarm)>,
    cx: &mut Context<'_>,
) -> Option<Why> {
    if scope.refuses.is_none() {
        if tokens.iter_mut().any(|token| token.poll(cx).is_ready()) {
            scope.refuses = Some(Why::Cancelled);
            *alarm = None;
            // Operations are given up when they are polled.
            cx.waker().wake_by_ref();
        }
        scope.until = scope.until.fixed();
    }
    let now = now_us();
    let due_us = match (scope.refuses, scope.until) {
        (Some(_), _) => alarm
            .as_ref()
            .map_or(now + GIVE_UP_AFTER_US, |(due, _)| *due),
        (None, until) => match until.due_us() {
            None | Some(NEVER) => return None,
            Some(due_us) => due_us,
        },
    };
    match scope.refuses {
        Some(why) if due_us <= now => return Some(why),
        None if due_us <= now => {
            scope.refuses = Some(Why::TimedOut);
            *alarm = None;
            cx.waker().wake_by_ref();
            return None;
        }
        _ => {}
    }
    match alarm {
        Some((due, alarm)) if *due == due_us => alarm.wakes(cx.waker()),
        _ => *alarm = Some((due_us, Alarm::at(due_us, cx.waker()))),
    }
    None
}

/// How long after its limit a future is given up that has not ended by then: operations end within the
/// grace of their cancel.
const GIVE_UP_AFTER_US: u64 = 2 * limits::CANCEL_GRACE.as_micros() as u64;
