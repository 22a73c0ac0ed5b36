//! The layer rule: a file uses its own folder, what is below it, and the leaves.

use crate::lex::Rust;

/// Each layer, and the folders that it may use besides the leaves.
const LAYERS: &[(&str, &[&str])] = &[
    ("guide", &["guide"]),
    ("blocking", &["op"]),
    ("exporter", &["driver"]),
    ("serialize", &["fs", "driver", "sys"]),
    ("testing", &["driver"]),
    ("fs", &["fs", "op", "driver"]),
    ("op", &["op", "driver", "sys"]),
    ("driver", &["driver", "sys"]),
    ("sys", &["sys"]),
];
const LEAVES: &[&str] = &[
    "buf", "error", "events", "limits", "mounts", "observe", "opcode", "probe",
];
const KERNEL_CRATES: &[&str] = &["io_uring", "libc", "nix"];

pub(crate) fn check(file: &Rust) -> Vec<String> {
    let Some(module) = top_module(&file.path) else {
        return Vec::new();
    };
    let mut offences = Vec::new();
    if module != "sys" {
        offences.extend(kernel_crates(file));
    }
    if module == "lib" {
        return offences;
    }
    let Some(allowed) = allowed(module) else {
        offences.push(format!(
            "{}:1: {module} is neither a layer nor a leaf",
            file.path
        ));
        return offences;
    };
    for (index, name) in crate_paths(file) {
        let known =
            LEAVES.contains(&name.as_str()) || LAYERS.iter().any(|(layer, _)| *layer == name);
        // What the root exports comes from anywhere, so only the topmost layer may name it.
        let fine = if known {
            allowed.contains(&name.as_str())
        } else {
            module == "fs"
        };
        if !fine {
            let hint = if known {
                ""
            } else {
                ": name the module that defines it"
            };
            let what = format!("src/{module} may not use crate::{name}{hint}");
            offences.push(file.offence(index, &what));
        }
    }
    offences
}

fn top_module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let first = inside.split('/').next()?;
    Some(first.strip_suffix(".rs").unwrap_or(first))
}

fn allowed(module: &str) -> Option<Vec<&'static str>> {
    let below = match LAYERS.iter().find(|(layer, _)| *layer == module) {
        Some((_, below)) => below,
        None if LEAVES.contains(&module) => &["sys"][..],
        None => return None,
    };
    Some([below, LEAVES].concat())
}

fn kernel_crates(file: &Rust) -> Vec<String> {
    let mut offences = Vec::new();
    for (index, token) in file.tokens.iter().enumerate() {
        let before = index.checked_sub(1).map_or("", |i| file.text(i));
        let named = file.text(index + 1) == "::" || matches!(before, "use" | "crate");
        if named && KERNEL_CRATES.contains(&token.text.as_str()) {
            offences.push(file.offence(index, &format!("only src/sys names {}", token.text)));
        }
    }
    offences
}

/// Every name that the file reaches at the root of the crate, by `crate::` or by `super::`.
fn crate_paths(file: &Rust) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for index in file.find(&["crate", "::"]) {
        targets(file, index + 2, 0, &mut found);
    }
    for index in file.find(&["super", "::"]) {
        let before = index.checked_sub(1).map_or("", |i| file.text(i));
        let after_self = index >= 2 && file.text(index - 2) == "self";
        if before != "::" || after_self {
            let depth = file_depth(&file.path) + inline_depth(file, index);
            targets(file, index, depth, &mut found);
        }
    }
    found
}

/// Follows a path from token `index`, which is `above` modules below the root of the crate.
fn targets(file: &Rust, index: usize, above: usize, found: &mut Vec<(usize, String)>) {
    match file.text(index) {
        "super" => targets(file, index + 2, above.saturating_sub(1), found),
        "{" => {
            let end = file.closing(index);
            let mut item = index + 1;
            while item < end {
                targets(file, item, above, found);
                item = next_item(file, item, end);
            }
        }
        "self" => {}
        name if above == 0 && file.text(index + 1) != "!" => found.push((index, name.to_owned())),
        _ => {}
    }
}

/// The start of the item after the one at `index`, in a group that closes at `end`.
fn next_item(file: &Rust, mut index: usize, end: usize) -> usize {
    while index < end && file.text(index) != "," {
        index = if file.text(index) == "{" {
            file.closing(index)
        } else {
            index
        } + 1;
    }
    index + 1
}

/// How many modules the file is below the root: 2 for `src/driver/ring.rs`.
fn file_depth(path: &str) -> usize {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.trim_end_matches("/mod").split('/').count()
}

fn inline_depth(file: &Rust, index: usize) -> usize {
    let around = |&start: &usize| {
        let open = start + 2;
        file.text(open) == "{" && open < index && index < file.closing(open)
    };
    file.find(&["mod"])
        .iter()
        .filter(|start| around(start))
        .count()
}

#[cfg(test)]
mod tests {
    use super::{Rust, check};

    fn offences(path: &str, text: &str) -> usize {
        check(&Rust::new(path, text)).len()
    }

    #[test]
    fn a_layer_may_not_use_the_one_above() {
        assert_eq!(offences("src/sys/a.rs", "use crate::driver::Ring;"), 1);
        assert_eq!(offences("src/driver/a.rs", "fn f() { crate::op::go() }"), 1);
        assert_eq!(
            offences("src/op/a.rs", "use crate::{fs::File, buf, driver, sys::x};"),
            1
        );
        assert_eq!(offences("src/fs/a.rs", "use crate::sys::fd;"), 1);
        assert_eq!(offences("src/limits.rs", "use crate::driver::x;"), 1);
        assert_eq!(
            offences("src/buf/a.rs", "use crate::{error::{self, E}, op::{X, Y}};"),
            1
        );
    }

    #[test]
    fn a_layer_may_use_what_is_below_and_the_leaves() {
        assert_eq!(
            offences(
                "src/fs/a.rs",
                "use crate::{File, op, driver::Handle, error::E};"
            ),
            0
        );
        assert_eq!(
            offences("src/op/a.rs", "use crate::{driver, sys, op::x, opcode};"),
            0
        );
        assert_eq!(
            offences(
                "src/driver/a.rs",
                "use crate::{sys::{a, b}, limits, buf::Pool};"
            ),
            0
        );
        assert_eq!(
            offences(
                "src/sys/a.rs",
                "use super::fd; use crate::{error, sys}; use libc::c_int;"
            ),
            0
        );
        assert_eq!(
            offences("src/lib.rs", "pub use crate::fs::File; mod sys;"),
            0
        );
        assert_eq!(
            offences(
                "src/sys/a.rs",
                "// crate::op\nconst A: &str = \"crate::op::x\";"
            ),
            0
        );
    }

    #[test]
    fn the_way_up_by_super_is_followed() {
        assert_eq!(
            offences("src/driver/ring.rs", "use super::super::op::X;"),
            1
        );
        assert_eq!(offences("src/driver/mod.rs", "use super::{sys, op};"), 1);
        assert_eq!(offences("src/driver/ring.rs", "use super::op::X;"), 0);
        assert_eq!(
            offences("src/driver/mod.rs", "mod tests { use super::op; }"),
            0
        );
        assert_eq!(
            offences("src/driver/mod.rs", "mod tests { use super::super::op; }"),
            1
        );
        assert_eq!(
            offences("src/driver/ring.rs", "use super::{slot, super::fs::File};"),
            1
        );
    }

    #[test]
    fn the_root_is_no_way_round() {
        assert_eq!(offences("src/sys/a.rs", "use crate::File;"), 1);
        assert_eq!(offences("src/sys/a.rs", "use crate::*;"), 1);
        assert_eq!(offences("src/sys/a.rs", "crate::table!(x);"), 0);
        assert_eq!(offences("src/misc.rs", ""), 1);
    }

    #[test]
    fn only_sys_names_the_kernel_crates() {
        for text in [
            "use libc::EIO;",
            "use nix;",
            "fn f() { io_uring::opcode::Nop::new() }",
            "extern crate libc;",
        ] {
            assert_eq!(offences("src/op/a.rs", text), 1, "{text}");
            assert_eq!(offences("src/sys/a.rs", text), 0, "{text}");
        }
        assert_eq!(
            offences(
                "src/op/a.rs",
                "use std::os::unix::fs; let libc = 1; tokio_uring::x();"
            ),
            0
        );
    }
}
