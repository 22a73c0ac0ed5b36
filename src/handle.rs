//! What a program holds of a driver, and how it chooses one.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::watch;

use crate::base::clock::now_us;
#[cfg(feature = "testing")]
use crate::driver::Faults;
use crate::driver::runtimes::{current, existing, install};
use crate::driver::{Alarm, Driver};
use crate::error::{Error, Errors};
use crate::limits;
use crate::mounts::MountStats;
use crate::observe::{Heartbeat, OpInFlight, Stats};
use crate::settings::{Breaker, Dataless, Route, Settings, Submit, Timeouts};

/// The rings, lanes and threads of one runtime.
///
/// Each runtime has one, made when the first operation needs it and ended when the runtime is dropped.
/// Outside of a runtime there is one for the process, so that the futures of this crate work on any
/// executor.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// tidegate::fs::metadata("/").await?;
/// let handle = tidegate::Handle::current()?;
/// println!("{:?}, submitted {:?}", handle.route(), handle.submit());
/// println!("{} in flight", handle.stats().in_flight);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Handle {
    driver: Arc<Driver>,
}

impl Handle {
    /// The handle of the runtime that this is called in, or the process's own outside of one.
    ///
    /// # Errors
    ///
    /// [`Error::BackendVariable`] if `TIDEGATE_BACKEND` means nothing, [`Error::RingUnavailable`] if it
    /// asks for a ring that cannot be had.
    ///
    /// # Examples
    ///
    /// See [`Handle`].
    pub fn current() -> Result<Handle, Error> {
        current().map(|driver| Handle { driver })
    }

    /// Chooses how a handle works, before the first operation of its runtime.
    ///
    /// See [`Builder`].
    pub fn builder() -> Builder {
        Builder {
            route: None,
            submit: Submit::Auto,
            #[cfg(feature = "testing")]
            faults: None,
            settings: Settings::default(),
        }
    }

    /// Which backend is in use: [`Route::Pool`] also where a ring was not to be had.
    ///
    /// See [`Handle`].
    pub fn route(&self) -> Route {
        self.driver.route()
    }

    /// From which threads operations are submitted.
    ///
    /// See [`Handle`].
    pub fn submit(&self) -> Submit {
        self.driver.submit()
    }

    /// What is in effect: the defaults, or what [`Builder`] was told.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), tidegate::Error> {
    /// use std::time::Duration;
    /// use tidegate::Handle;
    /// let handle = Handle::builder().warn_after(Duration::from_secs(3)).install()?;
    /// assert_eq!(handle.settings().warn_after, Duration::from_secs(3));
    /// # Ok(()) }
    /// ```
    pub fn settings(&self) -> Settings {
        *self.driver.settings()
    }

    /// What was done so far, at this moment.
    ///
    /// See [`Handle`].
    pub fn stats(&self) -> Stats {
        self.driver.stats()
    }

    /// The mounts that operations went to so far, and whether they answer, in the order of their points.
    ///
    /// Files whose mount is not known, and those past the number of mounts that are told apart, are one entry
    /// without a point.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use tidegate::BreakerState;
    /// tidegate::fs::metadata("/").await?;
    /// for mount in tidegate::Handle::current()?.mounts() {
    ///     assert_eq!(mount.state, BreakerState::Closed);
    ///     println!("{:?}: {} timeouts, {} stuck", mount.point, mount.timeouts, mount.stuck);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn mounts(&self) -> Vec<MountStats> {
        self.driver.mounts()
    }

    /// Every operation that has left the poll and is not over, the oldest first.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// let handle = tidegate::Handle::current()?;
    /// for op in handle.in_flight() {
    ///     println!("{} {:?} since {:?}", op.operation, op.path, op.age);
    /// }
    /// # assert!(handle.in_flight().is_empty());
    /// # Ok(()) }
    /// ```
    pub fn in_flight(&self) -> Vec<OpInFlight> {
        self.driver.in_flight()
    }

    /// A sign of life every [`heartbeat_interval`](Settings::heartbeat_interval) while anything is in flight,
    /// once more when all is over, and none while nothing is.
    ///
    /// It comes from threads that take part in no operation, so it comes also while all the others are stuck. Only
    /// the latest is kept: a listener that is slow misses some, and one that never looks holds up nothing. What
    /// is over within an interval gives none. The channel closes when the handle is gone.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("fifo");
    /// # tidegate::fs::make_fifo(&path, 0o600).await?;
    /// use tidegate::{Handle, fs::File};
    ///
    /// let mut heartbeat = Handle::current()?.heartbeat();
    /// // Nobody writes to this FIFO, so its open waits.
    /// let open = tokio::spawn(File::open(path.clone()));
    /// heartbeat.changed().await.expect("the handle is here");
    /// let oldest = heartbeat.borrow_and_update().oldest.clone().expect("an open");
    /// println!("{} of {:?} for {:?}", oldest.operation, oldest.path, oldest.age);
    /// # assert_eq!(oldest.path, Some(path.clone()));
    /// # let _peer = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
    /// # open.await??;
    /// # Ok(()) }
    /// ```
    pub fn heartbeat(&self) -> watch::Receiver<Heartbeat> {
        self.driver.heart.listen()
    }

    /// Takes no more operations, cancels those in flight, and waits for them, but no longer than `bound`.
    ///
    /// What the kernel still holds then stays allocated until the kernel lets go; nothing waits for it,
    /// except that the kernel itself keeps a process from exiting while one of its calls is stuck.
    /// Operations that begin later in this runtime run on the process's own handle.
    ///
    /// # Cancel safety
    ///
    /// The shutdown goes on if the future is dropped; only the report is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    /// let report = tidegate::Handle::current()?.shutdown(Duration::from_secs(5)).await;
    /// assert_eq!(report.left_behind, 0);
    /// # Ok(()) }
    /// ```
    pub async fn shutdown(&self, bound: Duration) -> ShutdownReport {
        self.driver.close();
        let end_us = now_us().saturating_add(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX));
        let mut alarm = None;
        poll_fn(|cx| {
            let now_us = now_us();
            if self.driver.counters.in_flight() == 0 || now_us >= end_us {
                return Poll::Ready(());
            }
            let look_us = end_us.min(now_us + limits::DRAIN_LOOK_EVERY.as_micros() as u64);
            alarm = Some(Alarm::at(look_us, cx.waker()));
            Poll::Pending
        })
        .await;
        ShutdownReport::new(self.driver.in_flight())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("route", &self.route())
            .field("submit", &self.submit())
            .finish_non_exhaustive()
    }
}

/// How a shutdown ended.
///
/// Its text names what is stuck. Of a process with such operations the kernel may hold the exit, also
/// against a kill, until it lets go of them: better say so before.
///
/// See [`Handle::shutdown`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// How many operations the kernel, or a thread, still had when the time was over.
    pub left_behind: u64,
    /// Which ones, the oldest first.
    pub stuck: Vec<OpInFlight>,
}

impl ShutdownReport {
    fn new(stuck: Vec<OpInFlight>) -> ShutdownReport {
        ShutdownReport {
            left_behind: stuck.len() as u64,
            stuck,
        }
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.stuck.is_empty() {
            return f.write_str("nothing is left behind");
        }
        write!(f, "{} operations are not over:", self.left_behind)?;
        for op in self.stuck.iter().take(limits::STUCK_NAMED_MAX) {
            write!(f, " {}", op.operation)?;
            if let Some(path) = &op.path {
                write!(f, " {}", path.display())?;
            }
            write!(f, " ({:.1} s),", op.age.as_secs_f64())?;
        }
        f.write_str(" and the process cannot end while the kernel holds one of them")
    }
}

/// Chooses how a handle works.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), tidegate::Error> {
/// use tidegate::{Handle, Route, Submit};
/// let handle = Handle::builder().route(Route::Pool).submit(Submit::Isolated).install()?;
/// assert_eq!((handle.route(), handle.submit()), (Route::Pool, Submit::Isolated));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    route: Option<Route>,
    submit: Submit,
    #[cfg(feature = "testing")]
    faults: Option<Faults>,
    settings: Settings,
}

impl Builder {
    /// Which backend to use. Without it, `TIDEGATE_BACKEND` decides.
    ///
    /// See [`Builder`].
    pub fn route(mut self, route: Route) -> Builder {
        self.route = Some(route);
        self
    }

    /// From which threads to submit.
    ///
    /// See [`Builder`].
    pub fn submit(mut self, submit: Submit) -> Builder {
        self.submit = submit;
        self
    }

    /// When a mount that does not answer is left alone.
    ///
    /// See [`Breaker`].
    pub fn breaker(mut self, breaker: Breaker) -> Builder {
        self.settings.breaker = breaker;
        self
    }

    /// Lets a test delay, withhold or fail what the handle does.
    ///
    /// See [`Faults`](crate::testing::Faults).
    #[cfg(feature = "testing")]
    pub fn faults(mut self, faults: Faults) -> Builder {
        self.faults = Some(faults);
        self
    }

    /// How long operations may take where their callers do not say.
    ///
    /// See [`Timeouts`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Builder {
        self.settings.timeouts = timeouts;
        self
    }

    /// How old an operation is when its age is logged, once. Default: 10 s.
    ///
    /// See [`Handle::settings`].
    pub fn warn_after(mut self, age: Duration) -> Builder {
        self.settings.warn_after = age;
        self
    }

    /// How often a heartbeat comes while something is in flight. Default: 250 ms.
    ///
    /// See [`Handle::settings`].
    pub fn heartbeat_interval(mut self, interval: Duration) -> Builder {
        self.settings.heartbeat_interval = interval;
        self
    }

    /// How many blocking threads a mount may have, stuck or not. Once all of them are stuck in operations that
    /// nobody waits for any more, further ones on that mount are refused with [`Error::Saturated`]; while some are
    /// only busy, they wait. A mount uses 64 at most besides stuck ones. Default: 64.
    ///
    /// All mounts of the handle have so many together, and 16 more, or as many as this if that is less, for each
    /// mount besides the first: what hangs on one leaves the others their own.
    ///
    /// See [`Handle::settings`].
    pub fn stuck_threads_max(mut self, threads: usize) -> Builder {
        self.settings.stuck_threads_max = threads;
        self
    }

    /// What becomes of a file whose content is not on this machine. Default: it is fetched.
    ///
    /// See [`Dataless`].
    pub fn dataless(mut self, dataless: Dataless) -> Builder {
        self.settings.dataless = dataless;
        self
    }

    /// How many groups of provided buffers each ring may have, from 1 to 65 536. Default: 65 536, all that the
    /// kernel can tell apart. What finds none left uses plain buffers; fewer are for tests of just that.
    ///
    /// ```
    /// # #[tokio::main] async fn main() -> Result<(), tidegate::Error> {
    /// use tidegate::Handle;
    /// let handle = Handle::builder().buffer_groups_max(4).install()?;
    /// assert_eq!(handle.settings().buffer_groups_max, 4);
    /// assert_eq!(handle.stats().buffer_groups.remaining, 4);
    /// # Ok(()) }
    /// ```
    pub fn buffer_groups_max(mut self, groups: u32) -> Builder {
        self.settings.buffer_groups_max = groups;
        self
    }

    /// How errors of the system are handed out. Default: as they are, unless `TIDEGATE_ERRORS` says otherwise.
    ///
    /// See [`Errors`].
    pub fn errors(mut self, errors: Errors) -> Builder {
        self.settings.errors = errors;
        self
    }

    /// Makes the handle, and makes it the one of the runtime that this is called in.
    ///
    /// # Errors
    ///
    /// [`Error::NoRuntime`] outside of a runtime, [`Error::HandleExists`] if the runtime already has a
    /// handle, [`Error::Setting`] or [`Error::OutOfRange`] for a setting that makes no sense, and the errors of [`Handle::current`].
    ///
    /// # Examples
    ///
    /// See [`Builder`].
    pub fn install(self) -> Result<Handle, Error> {
        self.settings.check()?;
        let here = runtime::Handle::try_current().map_err(|_| Error::NoRuntime)?;
        if existing(here.id()).is_some() {
            return Err(Error::HandleExists);
        }
        let route = self.route.map_or_else(Route::from_environment, Ok)?;
        let driver = install(&here, route, self.submit, self.settings)?;
        #[cfg(feature = "testing")]
        if let Some(faults) = self.faults {
            let _ = driver.faults.set(faults);
        }
        Ok(Handle { driver })
    }
}
