//! Errors that keep their kind and say what was tried.

use std::fmt::Display;
use std::io;

/// Adds what was tried to an error, and keeps its kind.
pub(crate) trait Context<T> {
    fn context(self, what: impl Display) -> io::Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl Display) -> io::Result<T> {
        self.map_err(|error| {
            let error = error.into();
            io::Error::new(error.kind(), format!("{what}: {error}"))
        })
    }
}

pub(crate) fn invalid(what: impl Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what.to_string())
}
