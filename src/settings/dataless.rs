//! What becomes of a file whose content is not on this machine.

use std::io;

use crate::error::Error;
use crate::opcode::Kind;
use crate::sys::dataless;

/// What opening or reading a file does whose content is not on this machine, as a cloud drive keeps it on macOS:
/// [`Statx::is_dataless`](crate::fs::Statx::is_dataless) tells which those are. Other systems have none.
///
/// ```
/// # #[tokio::main] async fn main() -> std::io::Result<()> {
/// use tidegate::{Dataless, Error, Handle, fs};
/// Handle::builder().dataless(Dataless::Refuse).install()?;
/// match fs::read("/etc/passwd").await {
///     Ok(content) => assert!(!content.is_empty()),
///     Err(error) => match Error::from_io(&error) {
///         Some(Error::Dataless { path, .. }) => println!("left in the cloud: {path:?}"),
///         _ => return Err(error),
///     },
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dataless {
    /// Fetches the content, however long that takes. The default, as it is the system's.
    #[default]
    Fetch,
    /// Fails at once with [`Error::Dataless`], and nothing is fetched.
    Refuse,
}

impl Dataless {
    /// Runs a request on this thread as is said here.
    pub(crate) fn heed<T>(
        self,
        operation: Kind,
        request: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        if self == Dataless::Fetch {
            return request();
        }
        dataless::without_fetching(request).map_err(|error| {
            if dataless::was_refused(&error) {
                let path = None;
                Error::Dataless { operation, path }.into()
            } else {
                error
            }
        })
    }
}
