//! The files of the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lex::Rust;

/// A text file. The path is relative to the repository, with `/`.
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) text: String,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file that git tracks or would track, so that a new file is checked before its commit.
pub(crate) fn texts() -> Vec<Text> {
    let mut paths = listed().unwrap_or_else(walked);
    paths.sort();
    let read = |path: String| {
        let text = std::fs::read_to_string(root().join(&path)).ok()?;
        Some(Text { path, text })
    };
    let texts: Vec<Text> = paths.into_iter().filter_map(read).collect();
    for needed in ["Cargo.toml", "src/lib.rs", "tests/tidy.rs"] {
        assert!(
            texts.iter().any(|file| file.path == needed),
            "{needed} is not in the list of files"
        );
    }
    texts
}

pub(crate) fn rust() -> Vec<Rust> {
    let is_rust = |file: &Text| file.path.ends_with(".rs");
    let parse = |file: Text| Rust::new(&file.path, &file.text);
    texts().into_iter().filter(is_rust).map(parse).collect()
}

fn listed() -> Option<Vec<String>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output()
        .ok()?;
    let names = String::from_utf8(output.stdout).ok()?;
    let names: Vec<String> = names.split_terminator('\0').map(str::to_owned).collect();
    (output.status.success() && !names.is_empty()).then_some(names)
}

/// Without git: everything but hidden folders and build output.
fn walked() -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder))
            .expect("a readable folder")
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            let kind = entry.file_type().expect("a file type");
            if kind.is_file() {
                found.push(path.to_string_lossy().into_owned());
            } else if kind.is_dir() && name != "target" && (name == ".ci" || !name.starts_with('.'))
            {
                folders.push(path);
            }
        }
    }
    found
}

#[test]
fn the_walk_without_git_finds_the_sources() {
    let found = walked();
    assert!(found.iter().any(|path| path == "src/lib.rs"), "{found:?}");
    assert!(
        !found
            .iter()
            .any(|path| path.starts_with("target/") || path.starts_with(".git/"))
    );
}
