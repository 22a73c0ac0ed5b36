//! Programs written for `tokio::fs` run on `tidegate::fs` with nothing but their imports changed: tokio's
//! own tests, the examples of its documentation, and published packages.
//!
//! Their sources come from the registry, where cargo has them for this workspace, into a workspace in
//! the target folder. What is left out is named, with the reason.

#[path = "common/command.rs"]
mod command;
#[path = "drop_in/examples.rs"]
mod examples;
#[path = "../../tests/common/registry.rs"]
mod registry;
#[path = "drop_in/rewrite.rs"]
mod rewrite;
#[path = "drop_in/workspace.rs"]
mod workspace;

use std::sync::OnceLock;

use command::read_tree;
use registry::{folder, package};
use rewrite::rewrite;
use workspace::Workspace;

/// Published packages with `tokio::fs` in them, and what their own tests need.
const WITH_TESTS: &[(&str, &[&str])] = &[
    (
        "astral-tokio-tar",
        &["tempfile", "tokio", "tokio-stream", "xattr"],
    ),
    ("async-tempfile", &["tokio", "tokio-test"]),
];
/// Such whose tests are not in the package: the tests beside this file drive them. tower-http asks an
/// error for its number and not for its kind, so plain errors are chosen from outside.
const DRIVEN: &[&str] = &["fs-err", "tower-http"];

/// Tests of tokio that hold of tokio alone.
const ABOUT_TOKIO: &[(&str, &str)] = &[(
    "file_debug_fmt",
    "compares the output with the name of tokio's type",
)];

/// The generated workspace, the same for all tests here.
fn workspace() -> &'static Workspace {
    static WORKSPACE: OnceLock<Workspace> = OnceLock::new();
    WORKSPACE.get_or_init(|| {
        let mut workspace = Workspace::new();
        let replaced: Vec<&str> = WITH_TESTS.iter().map(|(name, _)| *name).collect();
        let replaced = [&replaced, DRIVEN].concat();
        workspace.add_package("tokio-tests", &[]);
        add_tests_of_tokio(&mut workspace);
        workspace.add_package("examples", &[]);
        add_examples_of_tokio(&mut workspace);
        for (name, for_tests) in WITH_TESTS {
            workspace.add_published(name, for_tests);
        }
        for name in DRIVEN {
            workspace.add_published(name, &[]);
        }
        workspace.add_package("driven", &replaced);
        for name in ["fs_err.rs", "serve_dir.rs"] {
            let text = std::fs::read(format!("{}/tests/{name}", env!("CARGO_MANIFEST_DIR")));
            workspace.add(format!("driven/tests/{name}"), text.unwrap());
        }
        workspace.write()
    })
}

fn add_tests_of_tokio(workspace: &mut Workspace) {
    let mut count = 0;
    for (path, bytes) in read_tree(&folder(package("tokio")).join("tests"), &[]) {
        let name = path.to_str().unwrap();
        if !name.starts_with("fs") || !name.ends_with(".rs") {
            continue;
        }
        let text = String::from_utf8(bytes).unwrap();
        let head: Vec<&str> = text
            .lines()
            .take_while(|line| !line.starts_with("use "))
            .collect();
        let head = head.join("\n");
        if head.contains("tokio_unstable") {
            println!("left out: tests/{name}: of tokio_unstable, about tokio's ring");
        } else if head.contains("#![cfg(windows)]") {
            println!("left out: tests/{name}: for Windows alone");
        } else {
            count += 1;
            workspace.add(format!("tokio-tests/tests/{name}"), rewrite(&text));
        }
    }
    assert!(count >= 10, "{count} files of tests");
}

fn add_examples_of_tokio(workspace: &mut Workspace) {
    let (text, count, left_out) = examples::generate(&folder(package("tokio")).join("src"));
    for example in left_out {
        println!("left out: src/{}: {}", example.name, example.reason);
    }
    assert!(count >= 60, "{count} examples");
    workspace.add("examples/tests/examples.rs", text);
}

/// The backends that there are here.
fn backends() -> Vec<&'static str> {
    match tidegate::probe::report().ring_reason() {
        None => vec!["auto", "ring", "pool"],
        Some(reason) => {
            eprintln!("skip: ring: {reason}");
            vec!["auto", "pool"]
        }
    }
}

#[test]
fn tokio_s_own_tests_pass() {
    let mut arguments = vec!["--"];
    for (name, reason) in ABOUT_TOKIO {
        println!("left out: {name}: {reason}");
        arguments.extend(["--skip", name]);
    }
    // It expects to be refused, which root is not.
    arguments.extend(["--skip", "try_exists"]);
    for backend in backends() {
        assert!(workspace().test("tokio-tests", backend, &arguments) >= 40);
        assert_eq!(
            workspace().test_without_privileges("tokio-tests", "fs_try_exists", backend),
            1
        );
    }
}

#[test]
fn the_examples_of_tokio_s_documentation_do_the_same() {
    for backend in backends() {
        assert!(workspace().test("examples", backend, &[]) >= 60);
    }
}

#[test]
fn published_packages_pass_their_own_tests() {
    for (name, _) in WITH_TESTS {
        for backend in backends() {
            assert!(workspace().test(name, backend, &[]) >= 30);
        }
    }
}

#[test]
fn published_packages_do_on_the_disk_what_they_do_on_tokio() {
    for backend in backends() {
        assert!(workspace().test_with_plain_errors("driven", backend) >= 4);
    }
}
