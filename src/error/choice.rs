//! Whether errors of the system come with operation and path, or plain.

use std::sync::atomic::{AtomicU8, Ordering};

/// How errors of the system are handed out, in the whole process.
///
/// An [`io::Error`](std::io::Error) holds either a number or something with a text of its own, never both. Without another
/// choice it is the latter, so that errors name operation and path. A program, or a crate that it uses,
/// may ask [`io::Error::raw_os_error`](std::io::Error::raw_os_error) instead of the kind: then it wants them plain.
///
/// `TIDEGATE_ERRORS=plain` or `named` in the environment makes the choice for a program that does not.
///
/// ```
/// # #[tokio::main] async fn main() {
/// use tidegate::{Errors, fs};
/// let named = fs::read("/no/such/file").await.unwrap_err();
/// assert_eq!((named.raw_os_error(), tidegate::raw_os_error(&named)), (None, Some(2)));
/// assert!(named.to_string().contains("/no/such/file"));
///
/// Errors::Plain.set_for_process();
/// let plain = fs::read("/no/such/file").await.unwrap_err();
/// assert_eq!((plain.raw_os_error(), tidegate::raw_os_error(&plain)), (Some(2), Some(2)));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Errors {
    /// With operation, path, and what to do about it; [`raw_os_error`](crate::raw_os_error) has the number. The default.
    #[default]
    Named = 1,
    /// As the system gave them, with the number and nothing else, as from `tokio::fs`. Errors that have no
    /// number are as ever.
    Plain = 2,
}

/// The choice, as its number; zero until it was made.
static ERRORS: AtomicU8 = AtomicU8::new(0);

impl Errors {
    /// Chooses, for all errors from now on. See [`Errors`].
    pub fn set_for_process(self) {
        ERRORS.store(self as u8, Ordering::Relaxed);
    }

    pub(super) fn in_process() -> Errors {
        if ERRORS.load(Ordering::Relaxed) == 0 {
            let (unset, found) = (0, Errors::from_environment() as u8);
            // Whoever has chosen meanwhile is right.
            let _ = ERRORS.compare_exchange(unset, found, Ordering::Relaxed, Ordering::Relaxed);
        }
        match ERRORS.load(Ordering::Relaxed) {
            2 => Errors::Plain,
            _ => Errors::Named,
        }
    }

    fn from_environment() -> Errors {
        let Some(value) = std::env::var_os("TIDEGATE_ERRORS") else {
            return Errors::default();
        };
        match &*value.to_string_lossy().trim().to_ascii_lowercase() {
            "plain" => Errors::Plain,
            "" | "named" => Errors::Named,
            _ => {
                crate::events::errors_variable(&value);
                Errors::Named
            }
        }
    }
}
