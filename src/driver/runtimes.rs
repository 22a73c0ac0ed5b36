//! Which driver is whose: one per runtime, made on first use, and one for everything outside of a runtime.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use tokio::runtime;

use crate::base::global::Global;
use crate::base::lock::lock;
use crate::driver::core::Driver;
use crate::error::{Error, Errors};
use crate::events;
use crate::limits;
use crate::opcode::Kind;
use crate::settings::{Route, Settings, Submit};

/// What a driver belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    Outside,
    Runtime(runtime::Id),
}

impl Home {
    pub(super) fn has_runtime(self) -> bool {
        self != Home::Outside
    }

    /// The runtime, if this is called in it.
    #[cfg(target_os = "linux")]
    pub(super) fn runtime(self) -> Option<runtime::Handle> {
        let here = runtime::Handle::try_current().ok()?;
        (self == Home::Runtime(here.id())).then_some(here)
    }

    /// Whether the calling thread polls for this runtime.
    pub(super) fn is_here(self) -> bool {
        runtime::Handle::try_current().is_ok_and(|here| self == Home::Runtime(here.id()))
    }
}

thread_local! {
    /// The driver that this thread used last.
    static LAST: RefCell<Option<(runtime::Id, Arc<Driver>)>> = const { RefCell::new(None) };
}

type Runtimes = Mutex<HashMap<runtime::Id, Weak<Driver>>>;

static RUNTIMES: Global<Runtimes> = Global::new();

fn runtimes() -> &'static Runtimes {
    RUNTIMES.get_or_make(|| {
        // A runtime of the parent that goes on here still has the parent's driver, which refuses: its threads are
        // not here. Where the list is locked for ever, the runtime gets a driver as if it were new.
        let of_parent = RUNTIMES.of_parent().and_then(|of| of.try_lock().ok());
        Mutex::new(of_parent.map(|known| known.clone()).unwrap_or_default())
    })
}

/// The driver of everything outside of a runtime: only lanes and pools, whose threads wake futures on
/// any executor. It lives as long as the process.
pub(super) fn outside() -> Result<Arc<Driver>, Error> {
    static OUTSIDE: Global<Mutex<Option<Arc<Driver>>>> = Global::new();
    let mut outside = lock(OUTSIDE.get_or_make(Mutex::default));
    if let Some(driver) = &*outside {
        return Ok(driver.clone());
    }
    let driver = Driver::new(
        Home::Outside,
        Route::from_environment()?,
        Submit::Auto,
        0,
        Settings::default(),
    )?;
    *outside = Some(driver.clone());
    Ok(driver)
}

/// The driver of the runtime that polls here.
pub(crate) fn current() -> Result<Arc<Driver>, Error> {
    let Ok(here) = runtime::Handle::try_current() else {
        return outside();
    };
    let id = here.id();
    let last = LAST.try_with(|last| match &*last.borrow() {
        Some((last, driver)) if *last == id && !driver.is_closed() => Some(driver.clone()),
        _ => None,
    });
    if let Ok(Some(driver)) = last {
        return Ok(driver);
    }
    let driver = match existing(id) {
        Some(driver) if driver.is_closed() => return outside(),
        Some(driver) => driver,
        None => install(
            &here,
            Route::from_environment()?,
            Submit::Auto,
            Settings::default(),
        )?,
    };
    let _ = LAST.try_with(|last| {
        let before = last.borrow_mut().replace((id, driver.clone()));
        if before
            .as_ref()
            .is_some_and(|(_, driver)| driver.is_of_parent())
        {
            // It may be the last reference, and what it holds is the parent's.
            std::mem::forget(before);
        }
    });
    Ok(driver)
}

/// An error as callers are told of it here.
pub(crate) fn tell(operation: Kind, path: Option<&Path>, error: io::Error) -> io::Error {
    match current() {
        Ok(driver) => driver.tell(operation, path, error),
        Err(_) => Errors::of_process().tell(operation, path, error),
    }
}

/// The driver of the runtime that polls here, for callers that cannot be told of an error: without one, blocking threads do it.
pub(crate) fn current_or_pool() -> Arc<Driver> {
    static POOL: Global<Arc<Driver>> = Global::new();
    current().unwrap_or_else(|error| {
        events::only_threads(&error);
        let pool = || {
            Driver::new(
                Home::Outside,
                Route::Pool,
                Submit::Auto,
                0,
                Settings::default(),
            )
            .expect("blocking threads need nothing that could be missing")
        };
        POOL.get_or_make(pool).clone()
    })
}

pub(crate) fn existing(id: runtime::Id) -> Option<Arc<Driver>> {
    lock(runtimes()).get(&id)?.upgrade()
}

/// Makes the driver of a runtime, unless another thread was faster.
pub(crate) fn install(
    here: &runtime::Handle,
    route: Route,
    submit: Submit,
    settings: Settings,
) -> Result<Arc<Driver>, Error> {
    let workers = match here.runtime_flavor() {
        runtime::RuntimeFlavor::CurrentThread => 1,
        _ => here.metrics().num_workers(),
    };
    let driver = Driver::new(Home::Runtime(here.id()), route, submit, workers, settings)?;
    let mut runtimes = lock(runtimes());
    if let Some(other) = runtimes.get(&here.id()).and_then(Weak::upgrade) {
        return Ok(other);
    }
    runtimes.retain(|_, driver| driver.strong_count() > 0);
    runtimes.insert(here.id(), Arc::downgrade(&driver));
    drop(runtimes);
    let guard = EndsWithRuntime(driver.clone());
    here.spawn(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    Ok(driver)
}

/// Held by a task of the runtime, and so dropped with it.
struct EndsWithRuntime(Arc<Driver>);

impl Drop for EndsWithRuntime {
    /// Like tokio, the end of a runtime waits for writes that were accepted and not flushed; unlike
    /// tokio, not for ever.
    fn drop(&mut self) {
        self.0.close();
        // A forked child has none of the parent's writes.
        if !self.0.is_of_parent() {
            self.0.counters.wait_kept_writes(limits::DRAIN_BOUND);
            // One that failed is logged, also where the process ends next.
            events::wait_told(limits::LOG_WAIT);
        }
    }
}
