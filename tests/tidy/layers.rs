//! The layer rule: a file uses its own folder and what is below it, and no two folders use each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::lex::Rust;

/// The folders and files of the library, each above all that it may use.
const LAYERS: &[&str] = &[
    "limits",
    "opcode",
    "base",
    "events",
    "error",
    "mem",
    "sys",
    "mounts",
    "probe",
    "buf",
    "observe",
    "settings",
    "driver",
    "deadline",
    "handle",
    "op",
    "blocking",
    "exporter",
    "testing",
    "fs",
    "serialize",
    "guide",
];
/// The rooms of the driver, in the same order. They use nothing of what the driver has beside them.
const ROOMS: &[&str] = &["job", "order", "watchdog", "ring", "mount", "task"];
/// What is not to be used from far above, though it is below: through operations alone.
const SHUT: &[(&str, &str)] = &[("fs", "base"), ("fs", "mem"), ("fs", "sys")];
const KERNEL_CRATES: &[&str] = &["io_uring", "libc", "nix"];

pub(crate) fn check(file: &Rust) -> Vec<String> {
    let module = module(&file.path);
    let Some(top) = module.first() else {
        return Vec::new();
    };
    let mut offences = Vec::new();
    if !matches!(top.as_str(), "base" | "sys") {
        offences.extend(kernel_crates(file));
    }
    if top == "lib" {
        return offences;
    }
    let top = top.as_str();
    let Some(place) = LAYERS.iter().position(|layer| *layer == top) else {
        offences.push(format!("{}:1: {top} is no layer", file.path));
        return offences;
    };
    for (index, path) in paths(file) {
        // Tests may use what they like.
        if file.path.ends_with("_tests.rs") || is_in_tests(file, index) {
            continue;
        }
        let name = path[0].as_str();
        let fine = match LAYERS.iter().position(|layer| *layer == name) {
            Some(other) => other <= place && !SHUT.contains(&(top, name)),
            // What the root exports comes from anywhere, so only the topmost layer may name it.
            None => top == "fs",
        };
        if !fine {
            let what = format!("src/{top} may not use crate::{name}");
            offences.push(file.offence(index, &what));
        }
        if let Some(what) = wrong_room(&module, &path) {
            offences.push(file.offence(index, &what));
        }
    }
    // Of several names of one line, the layer is told once.
    offences.dedup();
    offences
}

/// What is wrong if a room of the driver uses what is not below it.
fn wrong_room(module: &[String], path: &[String]) -> Option<String> {
    let [driver, room, ..] = module else {
        return None;
    };
    if driver != "driver" || path[0] != "driver" {
        return None;
    }
    let place = ROOMS.iter().position(|name| name == room)?;
    let used = path.get(1).map_or("", String::as_str);
    let other = ROOMS.iter().position(|name| *name == used);
    let is_below = other.is_some_and(|other| other <= place);
    (!is_below).then(|| format!("driver/{room} may not use crate::driver::{used}"))
}

/// The circles among folders: what a folder has inside is a part of it.
pub(crate) fn circles(files: &[Rust]) -> Vec<String> {
    let in_library = |file: &&Rust| file.path.starts_with("src/") && file.path != "src/lib.rs";
    let is_test = |file: &&Rust| file.path.ends_with("_tests.rs");
    let files = files.iter().filter(in_library);
    let files: Vec<_> = files.filter(|file| !is_test(file)).collect();
    let folders: BTreeSet<Vec<String>> = files.iter().map(|file| folder(&file.path)).collect();
    let mut uses: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for file in &files {
        let from = folder(&file.path);
        for (index, path) in paths(file) {
            if is_in_tests(file, index) {
                continue;
            }
            let known = (1..=path.len()).rev().map(|length| path[..length].to_vec());
            let Some(to) = known.into_iter().find(|path| folders.contains(path)) else {
                continue;
            };
            if !from.starts_with(&to) && !to.starts_with(&from) {
                uses.entry(from.clone()).or_default().insert(to);
            }
        }
    }
    let reaches = |from: &Vec<String>| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(folder) = next.pop() {
            for to in uses.get(&folder).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        seen
    };
    let in_circle = uses.keys().filter(|from| reaches(from).contains(*from));
    in_circle
        .map(|folder| format!("src/{} is in a circle of folders", folder.join("/")))
        .collect()
}

/// Whether the token is in the file's own tests.
fn is_in_tests(file: &Rust, index: usize) -> bool {
    let tests = file.find(&["mod", "tests", "{"]);
    let within = |&start: &usize| start < index && index < file.closing(start + 2);
    tests.iter().any(within)
}

/// The modules that lead to a file of the library, its own with them; none for other files.
fn module(path: &str) -> Vec<String> {
    let Some(inside) = path.strip_prefix("src/") else {
        return Vec::new();
    };
    let inside = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    inside.split('/').map(str::to_owned).collect()
}

fn folder(path: &str) -> Vec<String> {
    let inside = path.trim_start_matches("src/");
    let folder = inside.rsplit_once('/').map_or("", |(folder, _)| folder);
    let names = folder.split('/').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn kernel_crates(file: &Rust) -> Vec<String> {
    let mut offences = Vec::new();
    for (index, token) in file.tokens.iter().enumerate() {
        let before = index.checked_sub(1).map_or("", |i| file.text(i));
        let named = file.text(index + 1) == "::" || matches!(before, "use" | "crate");
        if named && KERNEL_CRATES.contains(&token.text.as_str()) {
            offences.push(file.offence(
                index,
                &format!("only src/base and src/sys name {}", token.text),
            ));
        }
    }
    offences
}

/// Every path that the file names by `crate::` or by `super::`, from the root of the crate; not what tests add.
fn paths(file: &Rust) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for index in file.find(&["crate", "::"]) {
        follow(file, index + 2, Vec::new(), &mut found);
    }
    for index in file.find(&["super", "::"]) {
        let before = index.checked_sub(1).map_or("", |i| file.text(i));
        let after_self = index >= 2 && file.text(index - 2) == "self";
        if before != "::" || after_self {
            let mut here = module(&file.path);
            here.extend((0..inline_depth(file, index)).map(|_| String::new()));
            follow(file, index, here, &mut found);
        }
    }
    found.retain(|(_, path)| path.first().is_some_and(|name| !name.is_empty()));
    found
}

/// Follows a path on from token `index`, which is in the module `here`.
fn follow(file: &Rust, index: usize, mut here: Vec<String>, found: &mut Vec<(usize, Vec<String>)>) {
    match file.text(index) {
        "super" => {
            here.pop();
            follow(file, index + 2, here, found);
        }
        "{" => {
            let end = file.closing(index);
            let mut item = index + 1;
            while item < end {
                follow(file, item, here.clone(), found);
                item = next_item(file, item, end);
            }
        }
        "self" => found.push((index, here)),
        _ if here.is_empty() && file.text(index + 1) == "!" => {}
        name => {
            here.push(name.to_owned());
            match file.text(index + 1) {
                "::" => follow(file, index + 2, here, found),
                _ => found.push((index, here)),
            }
        }
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
    use super::{Rust, check, circles};

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
        assert_eq!(offences("src/driver/a.rs", "use super::super::op::X;"), 1);
        assert_eq!(offences("src/driver/mod.rs", "use super::{sys, op};"), 1);
        assert_eq!(offences("src/driver/a.rs", "use super::op::X;"), 0);
        assert_eq!(
            offences("src/driver/mod.rs", "mod inner { use super::op; }"),
            0
        );
        assert_eq!(
            offences("src/driver/mod.rs", "mod inner { use super::super::op; }"),
            1
        );
        assert_eq!(
            offences("src/driver/a.rs", "use super::{slot, super::fs::File};"),
            1
        );
    }

    #[test]
    fn a_room_of_the_driver_uses_only_rooms_below() {
        let used = |path, text| offences(path, text);
        assert_eq!(
            used("src/driver/ring/a.rs", "use crate::driver::job::J;"),
            0
        );
        assert_eq!(
            used("src/driver/job/a.rs", "use crate::driver::ring::R;"),
            1
        );
        assert_eq!(
            used("src/driver/task/a.rs", "use super::super::core::C;"),
            1
        );
        assert_eq!(
            used("src/driver/task/mod.rs", "use crate::driver::Driver;"),
            1
        );
        assert_eq!(used("src/driver/core.rs", "use crate::driver::task::T;"), 0);
        let in_tests = "mod tests { use crate::driver::core::Driver; }";
        assert_eq!(used("src/driver/task/a.rs", in_tests), 0);
    }

    #[test]
    fn circles_are_found() {
        let files = |texts: &[(&str, &str)]| -> Vec<Rust> {
            let file = |(path, text): &(&str, &str)| Rust::new(path, text);
            texts.iter().map(file).collect()
        };
        let straight = [
            ("src/a/x.rs", "use crate::b::y::Y;"),
            ("src/b/y.rs", "use crate::c::Z; use super::inner::I;"),
            ("src/b/inner/mod.rs", "use crate::b::y::Y;"),
            ("src/c/mod.rs", ""),
        ];
        assert_eq!(circles(&files(&straight)), Vec::<String>::new());
        let round = [
            ("src/a/x.rs", "use crate::{b::y::Y, d};"),
            ("src/b/y.rs", "fn f() { crate::c::z() }"),
            ("src/c/mod.rs", "use super::a::x::X;"),
            ("src/d/mod.rs", ""),
        ];
        assert_eq!(circles(&files(&round)).len(), 3);
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
