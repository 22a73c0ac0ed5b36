//! The examples of a crate's documentation, as tests that run each on both crates and compare.

use std::fmt::Write;
use std::path::Path;

use crate::command::read_tree;
use crate::rewrite::rewrite;

/// What runs the examples.
const HARNESS: &str = include_str!("examples_harness.txt");

/// An example that is not run, and why.
pub(crate) struct LeftOut {
    pub(crate) name: String,
    pub(crate) reason: &'static str,
}

struct Example {
    /// The file and the line where it begins.
    name: String,
    tags: String,
    text: String,
    for_windows: bool,
}

/// The test file, how many examples it has, and what is not in it.
pub(crate) fn generate(sources: &Path) -> (String, usize, Vec<LeftOut>) {
    let (mut text, mut count, mut left_out) = (HARNESS.to_owned(), 0, Vec::new());
    for (path, bytes) in read_tree(sources, &[]) {
        let source = String::from_utf8(bytes).unwrap();
        for example in examples(&path.to_string_lossy(), &source) {
            let in_fs = path.starts_with("fs") || path == Path::new("fs.rs");
            let uses_fs = example.text.contains("tokio::fs");
            if !uses_fs && !in_fs {
                continue;
            }
            match reason_to_leave_out(&example, uses_fs) {
                Some(reason) => left_out.push(LeftOut {
                    name: example.name,
                    reason,
                }),
                None => {
                    count += 1;
                    if is_only_built(&example) {
                        let reason = "it takes a GiB of memory, so it is only built";
                        let name = example.name.clone();
                        left_out.push(LeftOut { name, reason });
                    }
                    write_example(&mut text, &example);
                }
            }
        }
    }
    (text, count, left_out)
}

fn reason_to_leave_out(example: &Example, uses_fs: bool) -> Option<&'static str> {
    let is_rust = example
        .tags
        .split(',')
        .all(|tag| matches!(tag, "" | "rust" | "no_run"));
    match () {
        () if example.for_windows => Some("for Windows alone"),
        () if !is_rust => Some("not Rust, or not to be built"),
        () if !uses_fs => Some("uses the files of std"),
        () => None,
    }
}

fn is_only_built(example: &Example) -> bool {
    example.text.contains("1024 * 1024 * 1024")
}

fn write_example(text: &mut String, example: &Example) {
    let mut name: String = example.name.clone();
    name = name.replace(|c: char| !c.is_alphanumeric(), "_");
    for (module, text_of) in [
        ("tokio", example.text.clone()),
        ("tidegate", rewrite(&example.text)),
    ] {
        write!(
            text,
            "mod {name}_on_{module} {{\n{}\n}}\n",
            runnable(&text_of)
        )
        .unwrap();
    }
    let (ours, theirs) = (
        format!("{name}_on_tidegate::run"),
        format!("{name}_on_tokio::run"),
    );
    let body = match is_only_built(example) {
        false => format!("same({theirs}, {ours});"),
        true => format!("let _ = ({theirs}, {ours});"),
    };
    write!(text, "#[test]\nfn {name}() {{ {body} }}\n").unwrap();
}

/// The example as the inside of a module, with a function that runs it and tells the outcome.
fn runnable(text: &str) -> String {
    let text = unwrapped(text);
    let functions = text.split("async fn ").skip(1);
    let mut without_arguments = functions.filter_map(|rest| Some(rest.split_once("()")?.0));
    let function =
        without_arguments.find(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'));
    let run = match function {
        _ if text.contains("fn main(") => "super::Outcome::text(main())".to_owned(),
        Some(name) => format!("super::Outcome::text(super::wait({name}()))"),
        // Statements, as documentation takes them too.
        None => {
            let body = format!("{{\n{text}\n}}; \"done\".to_owned()");
            return format!("pub fn run() -> String {{ let _inside = super::enter(); {body} }}");
        }
    };
    format!("{text}\npub fn run() -> String {{ {run} }}")
}

/// Without the block that keeps the example from platforms without files.
fn unwrapped(text: &str) -> &str {
    let inside = text.strip_prefix("#[cfg(not(target_family = \"wasm\"))]\n{\n");
    let inside = inside.and_then(|text| text.trim_end().strip_suffix('}'));
    inside.unwrap_or(text)
}

/// The code blocks of the file's documentation.
fn examples(path: &str, source: &str) -> Vec<Example> {
    let (mut found, mut current, mut for_windows) = (Vec::new(), None::<Example>, false);
    for (index, line) in source.lines().enumerate() {
        match line {
            "cfg_windows! {" => for_windows = true,
            "}" => for_windows = false,
            _ => {}
        }
        let line = line.trim_start();
        let Some(doc) = line.strip_prefix("///").or(line.strip_prefix("//!")) else {
            current = None;
            continue;
        };
        let doc = doc.strip_prefix(' ').unwrap_or(doc);
        match (doc.trim_start().strip_prefix("```"), &mut current) {
            (Some(tags), None) => {
                current = Some(Example {
                    name: format!("{path}:{}", index + 1),
                    tags: tags.trim().to_owned(),
                    text: String::new(),
                    for_windows,
                });
            }
            (Some(_), Some(_)) => found.extend(current.take()),
            (None, Some(example)) => {
                let shown = doc.trim_start().strip_prefix("# ").unwrap_or(doc);
                let shown = if shown.trim() == "#" { "" } else { shown };
                writeln!(example.text, "{shown}").unwrap();
            }
            (None, None) => {}
        }
    }
    found
}

#[test]
fn examples_are_found_with_their_hidden_lines() {
    let source = "/// A\n/// ```no_run\n/// # async fn dox() {\n///     a(b);\n/// # }\n/// ```\n\
                  cfg_windows! {\n    /// ```\n    /// c\n    /// ```\n}\n//! ```text\n//! d\n//! ```\n";
    let found = examples("a.rs", source);
    let fields: Vec<_> = found
        .iter()
        .map(|e| (&*e.name, &*e.text, e.for_windows))
        .collect();
    assert_eq!(
        fields,
        [
            ("a.rs:2", "async fn dox() {\n    a(b);\n}\n", false),
            ("a.rs:8", "c\n", true),
            ("a.rs:12", "d\n", false)
        ]
    );
    assert!(reason_to_leave_out(&found[0], true).is_none());
    assert!(reason_to_leave_out(&found[1], true).is_some());
    assert!(reason_to_leave_out(&found[2], true).is_some());
}
