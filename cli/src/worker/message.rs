//! What the working process tells the reporting one, a line of JSON each.

use serde::{Deserialize, Serialize};

/// What the reporting process can show of a work that goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shows {
    /// A bar, since stderr is a terminal.
    pub(crate) bar: bool,
    /// Lines of JSON on stdout.
    pub(crate) lines: bool,
}

/// A bar as it is now.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Bar {
    /// What is done, and how much of it.
    pub(crate) prefix: String,
    pub(crate) position: u64,
    /// How much there is in all, once that is known.
    pub(crate) length: Option<u64>,
    /// Whether that counts bytes.
    pub(crate) in_bytes: bool,
    /// What is in work.
    pub(crate) message: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    Bar(Bar),
    /// One for stdout, which may be left out where nobody reads it.
    Line(String),
    End(End),
}

/// All is said.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct End {
    pub(super) code: u8,
    /// Operations that the kernel still has.
    pub(super) held: Vec<String>,
}

/// The byte that asks the working process to stop; the second one, to leave at once.
pub(super) const STOP: u8 = b's';
