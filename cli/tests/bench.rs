//! `tidegate bench` measures all of its rows, leaves nothing behind, and says why where it cannot.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{assert_exit, json, paths, tidegate, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tidegate_measure::summary::median;

/// A user who is not root, as containers and systems name nobody.
const NOBODY: u32 = 65534;

const ROWS: [&str; 21] = [
    "hot-read-1",
    "hot-read-32",
    "hot-read-256",
    "direct-read-1",
    "direct-read-32",
    "direct-read-128",
    "direct-read-256",
    "metadata-1",
    "metadata-64",
    "read-file-1",
    "read-file-64",
    "cold-metadata-1",
    "cold-metadata-64",
    "cold-list-1",
    "cold-file-1",
    "cold-file-8",
    "cold-file-64",
    "cold-random-1",
    "cold-random-32",
    "write-sync",
    "copy",
];
const ENGINES: [&str; 3] = ["tidegate", "tokio-fs", "threads"];

/// Short turns over small files.
fn bench(dir: &Path, rounds: &str, more: &[&str]) -> Output {
    tidegate()
        .args(["bench", "--seconds", "0.01", "--size", "4"])
        .args(["--rounds", rounds])
        .args(more)
        .arg(dir)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Each table has each row that it is about, is no wider than a terminal, and the files are gone.
#[test]
fn the_tables_have_every_row() {
    let dir = tempfile::tempdir().unwrap();
    let output = bench(dir.path(), "1", &[]);
    assert_exit(&output, 0);
    let text = String::from_utf8(output.stdout).unwrap();
    for row in ROWS {
        let is_row = |line: &&str| {
            let cell = line.strip_prefix("| ").unwrap_or_default();
            cell.split([' ', ',']).next() == Some(row)
        };
        let tables = if ["write-sync", "copy"].contains(&row) {
            2
        } else {
            3
        };
        assert_eq!(text.lines().filter(is_row).count(), tables, "{row}: {text}");
    }
    for line in text.lines().filter(|line| line.starts_with('|')) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(text.contains("| tokio::fs |"), "{text}");
    assert!(text.contains("- –: direct-read by tokio::fs: "), "{text}");
    assert!(text.contains("- kernel: "), "{text}");
    assert!(paths(dir.path()).is_empty());
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is a number"))
}

fn rounds(engine: &Value) -> Vec<f64> {
    let rounds = engine["rounds"].as_array().unwrap();
    rounds.iter().map(|round| number(&round["rate"])).collect()
}

/// JSON has no infinity: that is the ratio to an engine that did nothing in its turn.
fn assert_median(found: &Value, values: Vec<f64>) {
    match median(values).filter(|median| median.is_finite()) {
        Some(meant) => assert!(
            (number(found) - meant).abs() <= meant.abs() * 1e-9,
            "{found} is {meant}"
        ),
        None => assert!(found.is_null(), "{found}"),
    }
}

/// The JSON names the machine, and its medians and ratios are those of the rounds that it has.
#[test]
fn the_json_agrees_with_itself() {
    let dir = tempfile::tempdir().unwrap();
    let output = bench(dir.path(), "3", &["--json"]);
    assert_exit(&output, 0);
    let all = json(&output);
    for entry in ["processors", "kernel", "filesystem", "tidegate", "command"] {
        assert!(!all["header"][entry].as_str().unwrap().is_empty(), "{all}");
    }
    assert_eq!(all["settings"]["rounds"], 3);
    let rows = all["workloads"].as_array().unwrap();
    assert!(rows.iter().map(|row| &row["workload"]).eq(ROWS), "{all}");
    for row in rows {
        let engines = row["engines"].as_array().unwrap();
        for name in ENGINES {
            let engine = engines.iter().find(|engine| engine["engine"] == name);
            let Some(engine) = engine else {
                assert!(row["without"][name].is_string(), "{name}: {row}");
                continue;
            };
            assert!(engine["failed"].is_null(), "{row}");
            assert_eq!(rounds(engine).len(), 3, "{row}");
            assert_median(&engine["rate"], rounds(engine));
        }
        let ours = engines.iter().find(|engine| engine["engine"] == ENGINES[0]);
        for (other, key) in [
            ("tokio-fs", "rate_to_tokio_fs"),
            ("threads", "rate_to_threads"),
        ] {
            let other = engines.iter().find(|engine| engine["engine"] == other);
            if let (Some(ours), Some(other)) = (ours, other) {
                let ratios = rounds(ours).into_iter().zip(rounds(other));
                let ratios = ratios.map(|(ours, other)| ours / other).collect();
                assert_median(&ours[key], ratios);
            }
        }
    }
    assert!(paths(dir.path()).is_empty());
}

/// The plot is XML without anything that runs or is fetched, and has the name of each row.
#[test]
fn the_plot_names_every_row() {
    let dir = tempfile::tempdir().unwrap();
    let plot = tempfile::tempdir().unwrap();
    let file = plot.path().join("plot.svg");
    fs::write(&file, "what was there").unwrap();
    let output = bench(dir.path(), "1", &["--plot", file.to_str().unwrap()]);
    assert_exit(&output, 0);
    let text = fs::read_to_string(&file).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    assert_eq!(document.root_element().tag_name().name(), "svg");
    let words: Vec<&str> = document
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")))
        .filter_map(|node| node.text().map(str::trim))
        .collect();
    for row in ROWS {
        assert!(words.contains(&row), "{row}: {words:?}");
    }
    for node in document.descendants() {
        assert!(
            !["script", "image", "use"].contains(&node.tag_name().name()),
            "{text}"
        );
        assert!(
            node.attributes()
                .all(|attribute| attribute.name() != "href")
        );
    }
    assert_eq!(paths(plot.path()), [Path::new("plot.svg")]);
    assert!(paths(dir.path()).is_empty());
}

/// Where nothing can be measured, the reason and the remedy are said, with exit code 1.
#[test]
fn a_directory_that_will_not_do_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "content").unwrap();
    let missing = dir.path().join("missing");
    for (path, more, reason) in [
        (missing.as_path(), &[][..], "make it first"),
        (&file, &[], "is not a directory"),
        (dir.path(), &["--size", "16777216"], "smaller --size"),
        (dir.path(), &["--plot", "/no/such/folder/x.svg"], "--plot"),
        (dir.path(), &["--plot", "/"], "is not a file"),
    ] {
        let output = bench(path, "1", more);
        // The size is given twice where it is given here.
        if more.first() == Some(&"--size") {
            assert_exit(&output, 64);
            let output = tidegate().arg("bench").args(more).arg(path).output();
            let output = output.unwrap();
            assert_exit(&output, 1);
            assert!(stderr(&output).contains(reason), "{}", stderr(&output));
            continue;
        }
        assert_exit(&output, 1);
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    assert_eq!(paths(dir.path()), [Path::new("file")]);
}

/// A directory that the user may not write to is refused.
#[test]
fn a_directory_that_is_not_writable_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    for (path, mode) in [(dir.path(), 0o755), (&closed, 0o555)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    // The binary may be below a directory that another user cannot enter.
    let binary = dir.path().join("tidegate");
    // By a program of its own: what another test starts at this moment would have the copy open for writing, too.
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_tidegate"))
        .arg(&binary)
        .status();
    assert!(copied.unwrap().success());
    let mut command = Command::new(&binary);
    command.env_remove("TIDEGATE_BACKEND");
    command.arg("bench").arg(&closed);
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    assert_exit(&output, 1);
    assert!(
        stderr(&output).contains("who may write there"),
        "{}",
        stderr(&output)
    );
}

/// A backend that cannot be had is said before anything is made; one that can is used and named.
#[test]
fn the_backend_of_the_environment_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let run = |backend: &str| {
        tidegate()
            .args(["bench", "--seconds", "0.01", "--size", "4"])
            .args(["--rounds", "1", "--json"])
            .arg(dir.path())
            .env("TIDEGATE_BACKEND", backend)
            .output()
            .unwrap()
    };
    let junk = run("junk");
    assert_exit(&junk, 1);
    assert!(stderr(&junk).contains("TIDEGATE_BACKEND"));
    let pool = run("pool");
    assert_exit(&pool, 0);
    let all = json(&pool);
    assert_eq!(all["header"]["TIDEGATE_BACKEND"], "pool");
    for row in all["workloads"].as_array().unwrap() {
        let ways = row["engines"][0]["ways"].as_str().unwrap();
        assert!(!ways.contains("lane") && !ways.contains("ring"), "{ways}");
    }
    assert!(paths(dir.path()).is_empty());
}

/// An engine that cannot go on is named with its reason, the rest is shown, and the exit code says so.
#[test]
fn an_engine_that_fails_is_named() {
    let dir = tempfile::tempdir().unwrap();
    // tokio's files have a cursor, so that each of the 256 tasks opens its own.
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 128 && exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_tidegate"))
        .args(["bench", "--seconds", "0.01", "--rounds", "2"])
        .args(["--size", "4", "--json"])
        .arg(dir.path())
        .env_remove("TIDEGATE_BACKEND")
        .output()
        .unwrap();
    assert_exit(&output, 2);
    let stderr = stderr(&output);
    assert!(stderr.contains("hot-read-256 by tokio::fs: "), "{stderr}");
    let all = json(&output);
    let rows = all["workloads"].as_array().unwrap();
    assert_eq!(rows.len(), ROWS.len());
    assert!(rows[2]["without"]["tokio-fs"].is_string(), "{}", rows[2]);
    assert_eq!(rounds(&rows[2]["engines"][0]).len(), 2, "{}", rows[2]);
    assert!(paths(dir.path()).is_empty());
}

/// Numbers that mean nothing are wrong usage.
#[test]
fn wrong_usage_is_64() {
    for args in [
        &["bench"][..],
        &["bench", ".", "--seconds", "0"],
        &["bench", ".", "--rounds", "0"],
        &["bench", ".", "--size", "3"],
        &["bench", ".", "--no-such-option"],
    ] {
        assert_exit(&tidegate().args(args).output().unwrap(), 64);
    }
}

/// The folder that is being worked in, if `what` is in it.
fn is_there(dir: &Path, what: &str) -> bool {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .flatten()
        .any(|folder| folder.path().join(what).exists())
}

/// SIGINT and SIGTERM, while the files are made and while it measures, leave nothing.
#[test]
fn a_signal_leaves_nothing() {
    for (size, what, signal) in [
        ("1024", "hot", Signal::SIGINT),
        ("4", "scratch", Signal::SIGTERM),
        ("4", "scratch", Signal::SIGINT),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let plot = tempfile::tempdir().unwrap();
        let child = tidegate()
            .args(["bench", "--seconds", "3000", "--size", size])
            .arg("--plot")
            .arg(plot.path().join("plot.svg"))
            .arg(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for(what, || is_there(dir.path(), what));
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_exit(&output, 130);
        assert!(output.stdout.is_empty());
        for left in [dir.path(), plot.path()] {
            assert!(paths(left).is_empty(), "{:?}", paths(left));
        }
    }
}

/// What was in the directory before is there afterwards.
#[test]
fn what_is_there_stays() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["hot", "scratch", ".tidegate-bench-mine"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    assert_exit(&bench(dir.path(), "1", &[]), 0);
    assert_eq!(paths(dir.path()).len(), 3);
    assert_eq!(fs::read(dir.path().join("hot")).unwrap(), b"hot");
}
