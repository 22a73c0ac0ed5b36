//! Which backend a handle uses, and who submits.

use crate::error::Error;

/// Which backend a handle uses.
///
/// See [`Builder`](crate::Builder).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route {
    /// What is fastest for each operation: answered at the first poll where that cannot sleep, else
    /// the ring, else blocking threads. The default.
    #[default]
    Auto,
    /// The ring for every operation that has an opcode; making the handle fails without one.
    Ring,
    /// Blocking threads for everything, and no ring is made.
    Pool,
}

/// From which threads operations are submitted to a ring.
///
/// See [`Builder`](crate::Builder).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Submit {
    /// From the polling thread where that cannot sleep, else from a lane. The default.
    ///
    /// The kernel keeps a thread until the last operation that it submitted is over. While a disk hangs,
    /// a multi-thread runtime that is dropped waits for its threads, and so for the disk; a current-thread
    /// runtime can be dropped, but its thread does not end. `Isolated` has neither.
    #[default]
    Auto,
    /// Plainly from the polling thread, for local disks that are known to answer: up to a quarter
    /// faster for direct reads, but a disk that hangs freezes the runtime's thread.
    /// A read of an open file is tried at once, without a look whether all that it wants is in memory.
    Inline,
    /// Only from lanes, so that a runtime can be dropped whatever hangs.
    Isolated,
}

impl Route {
    /// What `TIDEGATE_BACKEND` says: `auto`, `ring` or `pool`, in any case; unset means `auto`.
    pub(crate) fn from_environment() -> Result<Route, Error> {
        let Some(value) = std::env::var_os("TIDEGATE_BACKEND") else {
            return Ok(Route::Auto);
        };
        let text = value.to_string_lossy();
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "auto" => Ok(Route::Auto),
            "ring" => Ok(Route::Ring),
            "pool" => Ok(Route::Pool),
            _ => Err(Error::BackendVariable {
                value: text.into_owned(),
            }),
        }
    }
}
