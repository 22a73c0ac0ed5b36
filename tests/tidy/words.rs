//! Words that may not stand in the code, or in any text.

use crate::lex::Rust;
use crate::tree::Text;

/// The one file that takes a lock without the poison-tolerant helper: it holds the helper.
const LOCK_HELPER: &str = "src/base/lock.rs";

/// Split, so that this file does not offend.
const UNFINISHED: &[&str] = &[concat!("T", "BD"), concat!("FIX", "ME")];
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Placeholders, errors without a kind, and locks that panic once poisoned.
pub(crate) fn check(file: &Rust) -> Vec<String> {
    let mut offences = Vec::new();
    let mut forbid = |pattern: &[&str], what: &str| {
        offences.extend(file.find(pattern).iter().map(|&at| file.offence(at, what)));
    };
    for name in ["todo", "unimplemented"] {
        for bracket in ["(", "[", "{"] {
            forbid(&[name, "!", bracket], "a placeholder");
        }
    }
    if file.path.starts_with("src/") {
        // Where typed errors are given the kinds that tokio's have.
        if file.path != "src/error/mod.rs" {
            forbid(&["ErrorKind", "::", "Other"], "an error needs a kind");
        }
        forbid(&["Error", "::", "other"], "an error needs a kind");
        for (call, end) in [
            ("read", "unwrap"),
            ("read", "expect"),
            ("write", "unwrap"),
            ("write", "expect"),
        ] {
            forbid(
                &[".", call, "(", ")", ".", end],
                "a lock that panics once poisoned",
            );
        }
        offences.extend(bare_locks(file));
    }
    offences
}

/// `.lock()` on a lock of std. An async lock is awaited, and has no poison.
fn bare_locks(file: &Rust) -> Vec<String> {
    if file.path == LOCK_HELPER {
        return Vec::new();
    }
    let calls = file.find(&[".", "lock", "(", ")"]);
    let is_async = |at: usize| file.text(at + 4) == "." && file.text(at + 5) == "await";
    let bare = calls.into_iter().filter(|&at| !is_async(at));
    bare.map(|at| {
        file.offence(
            at,
            "take it by crate::base::lock::lock(), which outlives a panic",
        )
    })
    .collect()
}

/// Marks of unfinished work, and paths of one machine.
pub(crate) fn check_text(file: &Text) -> Vec<String> {
    let mut offences = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let mut report = |what: &str| offences.push(format!("{}:{}: {what}", file.path, index + 1));
        for word in UNFINISHED {
            let is_word = |at: usize| {
                !line[..at].ends_with(in_word) && !line[at + word.len()..].starts_with(in_word)
            };
            if line.match_indices(word).any(|(at, _)| is_word(at)) {
                report(&format!("unfinished: {word}"));
            }
        }
        for path in MACHINE_PATHS {
            let inner = |c: char| in_word(c) || "./-}~*".contains(c);
            if line
                .match_indices(path)
                .any(|(at, _)| !line[..at].ends_with(inner))
            {
                report(&format!("a path of one machine: {path}"));
            }
        }
    }
    offences
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::{LOCK_HELPER, MACHINE_PATHS, Rust, Text, UNFINISHED, check, check_text};

    fn offences(path: &str, text: &str) -> usize {
        check(&Rust::new(path, text)).len()
    }

    fn text_offences(text: &str) -> usize {
        let (path, text) = ("a.md".to_owned(), text.to_owned());
        check_text(&Text { path, text }).len()
    }

    #[test]
    fn placeholders_are_found() {
        assert_eq!(
            offences(
                "cli/src/a.rs",
                "fn f() { todo!() } fn g() { unimplemented!(\"x\") }"
            ),
            2
        );
        assert_eq!(offences("src/a.rs", "if todo != x {} // todo!()"), 0);
    }

    #[test]
    fn errors_without_a_kind_are_found_in_the_library() {
        let text = "io::Error::other(x); std::io::ErrorKind::Other; E::new(ErrorKind::OtherThing);";
        assert_eq!(offences("src/a.rs", text), 2);
        assert_eq!(offences("tests/a.rs", text), 0);
    }

    #[test]
    fn locks_without_the_helper_are_found() {
        assert_eq!(
            offences(
                "src/a.rs",
                "m\n  .lock()\n  .unwrap(); m.lock().expect(\"x\"); m.lock();"
            ),
            3
        );
        assert_eq!(
            offences("src/a.rs", "m.read().unwrap(); m.write().expect(\"x\");"),
            2
        );
        assert_eq!(
            offences(
                "src/a.rs",
                "lock(&m); file.lock().await; m.read(b).unwrap();"
            ),
            0
        );
        assert_eq!(offences(LOCK_HELPER, "m.lock()"), 0);
    }

    #[test]
    fn unfinished_work_and_machine_paths_are_found_in_any_text() {
        for needle in UNFINISHED.iter().chain(MACHINE_PATHS) {
            assert_eq!(text_offences(&format!("a\nsee {needle}")), 1, "{needle}");
            assert_eq!(
                text_offences(&format!("https://host/x{needle}y")),
                0,
                "{needle}"
            );
        }
    }
}
