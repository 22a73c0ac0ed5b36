//! Where `unsafe` may stand, and the comment that it needs.

use crate::lex::Rust;

/// The comment stands within so many lines before; further lines of comment do not count.
const SAFETY_LINES_MAX: usize = 5;

pub(crate) fn check(file: &Rust) -> Vec<String> {
    let mut offences = undocumented(file);
    let tests = ["tests/", "benches/", "cli/tests/", "loom/", "measure/"];
    if tests.iter().any(|start| file.path.starts_with(start)) {
        return offences;
    }
    let openings = openings(file);
    if !may_be_unsafe(&file.path) {
        let misplaced = openings
            .iter()
            .map(|(at, _)| *at)
            .chain(file.find(&["unsafe"]));
        offences.extend(misplaced.map(|at| file.offence(at, "unsafe has no place in this file")));
        return offences;
    }
    for (at, _) in openings.iter().filter(|(_, with_reason)| !with_reason) {
        offences.push(file.offence(*at, "unsafe code is allowed without a reason"));
    }
    if let (Some(&at), true) = (file.find(&["unsafe"]).first(), openings.is_empty()) {
        offences.push(file.offence(at, "the file does not open unsafe_code, with a reason"));
    }
    offences
}

fn may_be_unsafe(path: &str) -> bool {
    [
        "src/base/",
        "src/sys/",
        "src/mem/",
        "src/buf/",
        "src/driver/ring/slot",
        // One conversion that the trait makes unsafe.
        "src/fs/file/raw_fd.rs",
    ]
    .iter()
    .any(|start| path.starts_with(start))
}

/// Each attribute that allows unsafe code, and whether it gives a reason.
fn openings(file: &Rust) -> Vec<(usize, bool)> {
    let mut found = Vec::new();
    for level in ["allow", "expect"] {
        for at in file.find(&[level, "("]) {
            let inside: Vec<&str> = (at + 2..file.closing(at + 1))
                .map(|i| file.text(i))
                .collect();
            let with_reason = inside.windows(2).any(|pair| pair == ["reason", "="]);
            if inside.contains(&"unsafe_code") {
                found.push((at, with_reason));
            }
        }
    }
    found
}

fn undocumented(file: &Rust) -> Vec<String> {
    let blocks = [file.find(&["unsafe", "{"]), file.find(&["unsafe", "impl"])].concat();
    let bare = blocks
        .into_iter()
        .filter(|&at| !documented(file, file.tokens[at].line));
    bare.map(|at| file.offence(at, "no SAFETY comment before it"))
        .collect()
}

fn documented(file: &Rust, line: usize) -> bool {
    let says_so = |line| {
        file.comments
            .iter()
            .any(|(at, text)| *at == line && text.contains("SAFETY:"))
    };
    let has_comment = |line| file.comments.iter().any(|(at, _)| *at == line);
    let has_code = |line| file.tokens.iter().any(|token| token.line == line);
    let (mut line, mut passed) = (line, 0);
    while line > 0 && passed < SAFETY_LINES_MAX {
        if says_so(line) {
            return true;
        }
        line -= 1;
        passed += usize::from(!has_comment(line) || has_code(line));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{Rust, check};

    const OPEN: &str = "#![allow(unsafe_code, reason = \"the kernel\")]\n";

    fn offences(path: &str, text: &str) -> usize {
        check(&Rust::new(path, text)).len()
    }

    #[test]
    fn unsafe_outside_its_places_is_found() {
        let text = "// SAFETY: x\nunsafe impl Send for A {}";
        for path in [
            "src/op/rw.rs",
            "src/driver/ring.rs",
            "src/buffers.rs",
            "cli/src/main.rs",
        ] {
            assert_eq!(offences(path, text), 1, "{path}");
            assert_eq!(offences(path, OPEN), 1, "{path}");
        }
        for path in [
            "src/sys/fd.rs",
            "src/buf/pool.rs",
            "src/driver/ring/slot.rs",
            "src/driver/ring/slot_table.rs",
        ] {
            assert_eq!(offences(path, &format!("{OPEN}{text}")), 0, "{path}");
        }
        assert_eq!(offences("src/lib.rs", "#![deny(unsafe_code)]"), 0);
    }

    #[test]
    fn a_file_opens_unsafe_with_a_reason() {
        let code = "// SAFETY: x\nunsafe { f() }";
        assert_eq!(offences("src/sys/a.rs", code), 1);
        assert_eq!(
            offences("src/sys/a.rs", &format!("#![allow(unsafe_code)]\n{code}")),
            1
        );
        assert_eq!(offences("src/sys/a.rs", &format!("{OPEN}{code}")), 0);
    }

    #[test]
    fn a_block_without_its_comment_is_found() {
        assert_eq!(offences("tests/a.rs", "fn f() { unsafe { g() } }"), 1);
        assert_eq!(
            offences("tests/a.rs", "let a = \"SAFETY:\";\nunsafe { g() }"),
            1
        );
        assert_eq!(offences("tests/a.rs", "// SAFETY: x\nunsafe { g() }"), 0);
        let long = format!(
            "// SAFETY: x\n{}unsafe {{ g() }}",
            "// and so on\n".repeat(9)
        );
        assert_eq!(offences("tests/a.rs", &long), 0);
        let far =
            |lines: usize| format!("// SAFETY: x\n{}unsafe {{ g() }}", "a();\n".repeat(lines));
        assert_eq!(offences("tests/a.rs", &far(4)), 0);
        assert_eq!(offences("tests/a.rs", &far(5)), 1);
    }
}
