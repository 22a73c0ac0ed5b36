//! Deadlines and cancels that callers set on futures of this crate.
//!
//! A limit is not a part of an operation's arguments: it is in force on the polling thread while the
//! limited future is polled, and whatever begins meanwhile takes it over. So it works on every future
//! that leads to operations of this crate, also on those of tokio's extension traits and on blocks of
//! several operations, and an operation that is answered at the poll does not even look at it.

use std::cell::Cell;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::alarm::Alarm;
use super::registry::NEVER;
use crate::error::{Error, LeftBehind};
use crate::limits;
use crate::opcode::Kind;
use crate::sys::clock::{self, now_us};

/// Until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Until {
    /// The handle's default decides.
    #[default]
    Default,
    /// So long after the first operation begins to wait.
    After(Duration),
    /// That moment of the system's clock, whatever the process did meanwhile.
    At(Instant),
    /// By the clock of limits, in microseconds.
    By(u64),
    /// As long as it takes.
    Forever,
}

impl Until {
    /// The moment itself, from now on.
    fn fixed(self) -> Until {
        match self {
            Until::After(after) => {
                // The part of a microsecond counts too: never too soon.
                let after_us = u64::try_from(after.as_micros()).unwrap_or(NEVER);
                match now_us().saturating_add(after_us).saturating_add(1) {
                    NEVER => Until::Forever,
                    by => Until::By(by),
                }
            }
            other => other,
        }
    }

    /// The earlier of the two.
    fn within(self, outer: Until) -> Until {
        if outer == Until::Default {
            return self;
        }
        let (inner, outer) = (self.fixed(), outer.fixed());
        match (inner.due_us(), outer.due_us()) {
            (Some(inner_us), Some(outer_us)) if inner_us <= outer_us => inner,
            _ => outer,
        }
    }

    /// When that is, by the clock of limits; [`NEVER`] for as long as it takes.
    fn due_us(self) -> Option<u64> {
        match self.fixed() {
            Until::At(at) => Some(clock::due_us(at).saturating_add(1)),
            Until::By(by) => Some(by),
            Until::Default => None,
            Until::After(_) | Until::Forever => Some(NEVER),
        }
    }
}

/// Why an operation is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Cancelled,
    TimedOut,
}

impl Why {
    pub(crate) fn error(
        self,
        operation: Option<Kind>,
        path: Option<PathBuf>,
        elapsed: Duration,
        left: LeftBehind,
    ) -> Error {
        match self {
            Why::Cancelled => Error::Cancelled {
                operation,
                path,
                elapsed,
                left,
            },
            Why::TimedOut => Error::TimedOut {
                operation,
                path,
                elapsed,
                left,
            },
        }
    }
}

/// The limits in force.
#[derive(Clone, Copy, Debug, Default)]
struct Scope {
    until: Until,
    /// Nothing may begin any more.
    refuses: Option<Why>,
    /// What began last, or is waited for.
    last: Option<Kind>,
}

thread_local! {
    static SCOPE: Cell<Scope> = const {
        Cell::new(Scope { until: Until::Default, refuses: None, last: None })
    };
}

/// When an operation that begins or is waited for here is due, in microseconds, if a caller has said so;
/// [`NEVER`] if it may take as long as it takes.
pub(crate) fn due_us(kind: Kind) -> Option<u64> {
    let mut scope = SCOPE.get();
    // Also where only a token limits it: what the limit leaves behind depends on it.
    scope.last = Some(kind);
    scope.until = scope.until.fixed();
    SCOPE.set(scope);
    scope.until.due_us()
}

/// Whether a caller has said here until when.
pub(crate) fn is_limited() -> bool {
    SCOPE.get().until != Until::Default
}

/// Runs something that no limit of this poll is for.
pub(crate) fn without_limits<T>(run: impl FnOnce() -> T) -> T {
    struct Back(Scope);
    impl Drop for Back {
        fn drop(&mut self) {
            SCOPE.set(self.0);
        }
    }
    let _back = Back(SCOPE.replace(Scope::default()));
    run()
}

/// Why nothing may begin here, if so.
pub(crate) fn refused() -> Option<Why> {
    SCOPE.get().refuses
}

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
    pub(super) fn new(future: F) -> Limited<F> {
        Limited {
            future: Some(future),
            scope: Scope::default(),
            tokens: Vec::new(),
            begun: None,
            alarm: None,
        }
    }

    pub(super) fn until(mut self, until: Until) -> Limited<F> {
        self.scope.until = until;
        self
    }
}

/// Puts the limits in force for the time of a poll, within those that are already.
struct InForce<'a> {
    inner: &'a mut Scope,
    outer: Scope,
}

impl<'a> InForce<'a> {
    fn enter(inner: &'a mut Scope) -> InForce<'a> {
        let mut outer = SCOPE.get();
        if outer.until != Until::Default {
            // The moment that the outer limit means is the same for all that it contains.
            outer.until = outer.until.fixed();
            inner.until = inner.until.within(outer.until);
        }
        let refuses = inner.refuses.or(outer.refuses);
        SCOPE.set(Scope { refuses, ..*inner });
        InForce { inner, outer }
    }
}

impl Drop for InForce<'_> {
    fn drop(&mut self) {
        let Scope { until, last, .. } = SCOPE.get();
        (self.inner.until, self.inner.last) = (until, last);
        self.outer.last = last.or(self.outer.last);
        SCOPE.set(self.outer);
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
