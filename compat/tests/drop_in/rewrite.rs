//! The one change to the sources: what they import as `tokio::fs` is `tidegate::fs`.

use std::fmt::Write;

/// The text with its imports and paths of `tokio::fs` replaced, and nothing else.
pub(crate) fn rewrite(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("use tokio::{") {
        let open = at + "use tokio::".len();
        let close = closing(rest, open);
        out.push_str(&rest[..at]);
        out.push_str(&regrouped(&rest[open + 1..close]));
        rest = rest[close + 1..].strip_prefix(';').unwrap();
    }
    out.push_str(rest);
    out.replace("tokio::fs", "tidegate::fs")
}

/// The import of a group, with what is of files in imports of its own.
fn regrouped(group: &str) -> String {
    let items: Vec<&str> = items(group);
    let is_fs = |item: &&&str| **item == "fs" || item.starts_with("fs::");
    let mut text = String::new();
    for item in items.iter().filter(is_fs) {
        write!(text, "use tokio::{item}; ").unwrap();
    }
    let others: Vec<&str> = items.iter().filter(|item| !is_fs(item)).copied().collect();
    write!(text, "use tokio::{{{}}};", others.join(", ")).unwrap();
    text
}

/// What the commas outside of inner braces divide.
fn items(group: &str) -> Vec<&str> {
    let (mut found, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(group[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(group[start..].trim());
    found.retain(|item| !item.is_empty());
    found
}

/// Where the brace at `open` is closed.
fn closing(text: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in text[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + at;
        }
    }
    panic!("an import that is not closed");
}

#[test]
fn imports_and_paths_are_replaced_and_nothing_else() {
    for (from, to) in [
        ("use tokio::fs::File;", "use tidegate::fs::File;"),
        ("::tokio::fs::read(a)", "::tidegate::fs::read(a)"),
        (
            "use std::fs; std::fs::read(a)",
            "use std::fs; std::fs::read(a)",
        ),
        (
            "use tokio::{\n    fs::{self, File},\n    io::{Seek, Read},\n};",
            "use tidegate::fs::{self, File}; use tokio::{io::{Seek, Read}};",
        ),
        (
            "/// use tokio::{fs, fs::File, io};",
            "/// use tidegate::fs; use tidegate::fs::File; use tokio::{io};",
        ),
        ("use tokio::{io, net};", "use tokio::{io, net};"),
    ] {
        assert_eq!(rewrite(from), to);
    }
}
