//! Errors and paths as they are shown to people.

use std::error::Error as _;
use std::io;
use std::path::Path;

use tidegate::Error;

/// The error itself, without the operation and the path that are shown beside it.
pub(crate) fn cause(error: &io::Error) -> String {
    match Error::from_io(error) {
        Some(Error::TimedOut { elapsed, left, .. }) => {
            format!("timed out after {:.1} s: {left}", elapsed.as_secs_f64())
        }
        Some(typed) => typed
            .source()
            .map_or_else(|| typed.to_string(), ToString::to_string),
        None => error.to_string(),
    }
}

/// A path as one line of text: control characters in a name must not reach the terminal.
pub(crate) fn line(path: &Path) -> String {
    path.to_string_lossy()
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Lines that are shown of a list; of more, the number is told.
pub(crate) const LINES_MAX: usize = 20;

/// A list that fits on a screen.
pub(crate) fn shortened(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > LINES_MAX {
        let more = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!("    and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name cannot move the cursor, change colours or begin a line.
    #[test]
    fn control_characters_are_not_shown() {
        assert_eq!(line(Path::new("a\x1b[2Jb\nc")), "a?[2Jb?c");
    }
}
