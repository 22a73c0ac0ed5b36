//! Output that may have no reader: what is lost of it ends nothing.

use std::io::{self, Write};

/// A line on stderr.
pub(crate) fn err(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Text on stdout. Who reports looks whether it arrives.
pub(crate) fn out(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
