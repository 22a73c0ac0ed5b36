//! Whether errors of the system come plain, or with operation and path.

use std::io;
use std::path::Path;

use super::Error;
use crate::opcode::Kind;

/// How a handle hands out the errors of the system.
///
/// An [`io::Error`] holds either a number or something with a text of its own, never both. Programs that were
/// written for `std::fs` or `tokio::fs` ask it for the number, so that is what they get. Those that would rather
/// read which operation failed on which path choose [`Errors::Named`] for their handle; a library that runs on
/// somebody else's handle is not asked. `TIDEGATE_ERRORS=named` makes the choice for a program that does not.
///
/// Errors that have no number, as that of a timeout, carry an [`Error`] either way.
///
/// ```
/// # #[tokio::main] async fn main() -> Result<(), tidegate::Error> {
/// use tidegate::{Errors, Handle, fs};
/// let handle = Handle::builder().errors(Errors::Named).install()?;
/// assert_eq!(handle.settings().errors, Errors::Named);
/// let named = fs::read("/no/such/file").await.unwrap_err();
/// assert_eq!((named.raw_os_error(), tidegate::raw_os_error(&named)), (None, Some(2)));
/// assert!(named.to_string().contains("/no/such/file"));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Errors {
    /// With operation, path, and what to do about it; [`raw_os_error`](crate::raw_os_error) has the number.
    Named,
    /// As the system gave them, with the kind and the number that `tokio::fs` gives them, and nothing else. The default.
    #[default]
    Plain,
}

impl Errors {
    /// What handles have that are told nothing.
    pub(crate) fn of_process() -> Errors {
        let Some(value) = std::env::var_os("TIDEGATE_ERRORS") else {
            return Errors::default();
        };
        match &*value.to_string_lossy().trim().to_ascii_lowercase() {
            "named" => Errors::Named,
            "" | "plain" => Errors::Plain,
            _ => {
                crate::events::errors_variable(&value);
                Errors::default()
            }
        }
    }

    /// The error as its caller is told of it. An error of the system may have been named before, by a step that
    /// knew its path better.
    pub(crate) fn tell(self, operation: Kind, path: Option<&Path>, error: io::Error) -> io::Error {
        match (self, error.downcast::<Error>()) {
            (Errors::Plain, Ok(Error::Io { source, .. })) => source,
            (
                _,
                Ok(Error::Dataless {
                    operation,
                    path: None,
                }),
            ) => Error::Dataless {
                operation,
                path: path.map(Path::to_path_buf),
            }
            .into(),
            (_, Ok(typed)) => typed.into(),
            (Errors::Plain, Err(source)) => source,
            (Errors::Named, Err(source)) => Error::io(operation, path, source),
        }
    }
}
