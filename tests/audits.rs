//! Audits that state counts are compared with the sources, so that none goes stale.

#[path = "tidy/lex.rs"]
#[allow(dead_code, reason = "the style tests use the rest")]
mod lex;
#[path = "tidy/tree.rs"]
#[allow(dead_code, reason = "the style tests use the rest")]
mod tree;

use std::collections::BTreeMap;

use lex::Rust;

/// Unsafe blocks, implementations, and functions or traits that ask for a promise.
type Counts = (usize, usize, usize);

fn counts(file: &Rust) -> Counts {
    let count = |next: &str| file.find(&["unsafe", next]).len();
    (count("{"), count("impl"), count("fn") + count("trait"))
}

fn in_sources() -> BTreeMap<String, Counts> {
    let unsafe_files = tree::rust().into_iter().filter(|file| {
        let ours = file.path.starts_with("src/");
        ours && !file.find(&["unsafe"]).is_empty()
    });
    unsafe_files
        .map(|file| (file.path.clone(), counts(&file)))
        .collect()
}

fn in_audit(text: &str) -> BTreeMap<String, Counts> {
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let path = cells.get(1)?.trim_matches('`');
        let number = |at: usize| cells.get(at)?.parse().ok();
        let counts = (number(2)?, number(3)?, number(4)?);
        let reason = cells.get(5).is_some_and(|reason| reason.len() > 10);
        assert!(reason, "{path} has no reason");
        path.starts_with("src/").then(|| (path.to_owned(), counts))
    });
    rows.collect()
}

/// Every file with unsafe code is in the audit, with how much of it there is.
#[test]
fn the_audit_of_unsafe_code_is_complete() {
    let path = tree::root().join("docs/audits/unsafe.md");
    let audit = in_audit(&std::fs::read_to_string(path).unwrap());
    let sources = in_sources();
    let stale: Vec<String> = sources
        .keys()
        .chain(audit.keys())
        .filter(|path| sources.get(*path) != audit.get(*path))
        .map(|path| {
            let (is, says) = (sources.get(path), audit.get(path));
            format!("{path}: has {is:?}, the audit says {says:?}")
        })
        .collect();
    assert!(
        stale.is_empty(),
        "docs/audits/unsafe.md is stale:\n{}",
        stale.join("\n")
    );
}
