//! `tidegate doctor` tells what a machine can do, and its exit code says it in one number.

mod common;

use common::{assert_exit, json, tidegate};

/// The code with nothing forced: 0 where there is a ring, 3 where there is none.
fn natural() -> i32 {
    if tidegate::probe::report().ring_reason().is_none() {
        0
    } else {
        3
    }
}

/// The text names the kernel, each operation, the limits and the filesystem.
#[test]
fn the_text_names_everything() {
    let output = tidegate().arg("doctor").output().unwrap();
    assert_exit(&output, natural());
    let text = String::from_utf8(output.stdout).unwrap();
    for row in tidegate::opcode::TABLE {
        assert!(
            text.lines().any(|line| line.starts_with(row.name)),
            "{}: {text}",
            row.name
        );
    }
    for word in [
        "kernel",
        "io_uring",
        "limits",
        "filesystem",
        "direct I/O",
        tidegate::probe::report().kernel(),
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

/// The JSON has a row per operation, with the way it takes and the reason where it is not the ring.
#[test]
fn the_json_has_a_row_per_operation() {
    let output = tidegate().args(["doctor", "--json", "/"]).output().unwrap();
    assert_exit(&output, natural());
    let diagnosis = json(&output);
    let operations = diagnosis["operations"].as_array().unwrap();
    assert_eq!(operations.len(), tidegate::opcode::TABLE.len());
    for operation in operations {
        assert!(
            operation["way"] == "ring" || operation["reason"].is_string(),
            "{operation}"
        );
    }
    assert_eq!(diagnosis["filesystem"]["path"], "/");
    assert!(diagnosis["broken"].as_array().unwrap().is_empty());
    assert!(diagnosis["ring"]["state"] == "available" || diagnosis["ring"]["remedy"].is_string());
}

/// What operations are given is shown as it is in effect, and as it is set.
#[test]
fn the_effective_timeouts_are_shown() {
    let mut doctor = tidegate();
    let output = doctor.args(["doctor", "--json"]).output().unwrap();
    let settings = &json(&output)["settings"];
    assert_eq!(settings["timeouts"]["metadata_ms"], 30_000);
    assert_eq!(settings["warn_after_ms"], 10_000);
    let set = |doctor: &mut std::process::Command| {
        let set = doctor.env("TIDEGATE_TIMEOUTS", "metadata=500ms,data=off");
        set.output().unwrap()
    };
    let settings = &json(&set(tidegate().args(["doctor", "--json"])))["settings"];
    assert_eq!(settings["timeouts"]["metadata_ms"], 500);
    assert!(settings["timeouts"]["data_ms"].is_null());
    let text = String::from_utf8(set(tidegate().arg("doctor")).stdout).unwrap();
    assert!(
        text.contains("timeouts    metadata 500ms, data off, sync 60s;"),
        "{text}"
    );
}

/// The exit codes: 0 with a ring, 3 without, 1 where nothing works.
#[test]
fn exit_codes_tell_the_state() {
    let code = |backend: &str| {
        tidegate()
            .arg("doctor")
            .env("TIDEGATE_BACKEND", backend)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(code("auto"), Some(natural()));
    assert_eq!(code("pool"), Some(3));
    assert_eq!(code("ring"), Some(if natural() == 0 { 0 } else { 1 }));
    let junk = tidegate()
        .arg("doctor")
        .env("TIDEGATE_BACKEND", "junk")
        .output()
        .unwrap();
    assert_exit(&junk, 1);
    assert!(String::from_utf8_lossy(&junk.stderr).contains("TIDEGATE_BACKEND"));
    let missing = tidegate()
        .args(["doctor", "/no/such/path"])
        .output()
        .unwrap();
    assert_exit(&missing, 1);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/no/such/path"));
}

/// `--mounts` lists the mounts with their types, as text and as JSON; the root is one, and answers.
#[test]
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn mounts_are_listed_with_their_answers() {
    let output = tidegate()
        .args(["doctor", "--mounts", "--json", "--timeout", "30s"])
        .output()
        .unwrap();
    let listed = json(&output);
    let mounts = listed["mounts"].as_array().unwrap();
    let root = mounts.iter().find(|mount| mount["point"] == "/").unwrap();
    assert_eq!(root["answer"]["state"], "answered", "{root}");
    assert!(!root["fs_type"].as_str().unwrap().is_empty());
    let text = tidegate().args(["doctor", "--mounts"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.lines().any(|line| line.starts_with("/ ")), "{text}");
}

/// What makes no sense together is refused.
#[test]
fn mounts_take_no_path_and_a_timeout_is_theirs() {
    for arguments in [
        &["doctor", "--mounts", "/"][..],
        &["doctor", "--timeout", "1s"],
        &["doctor", "--mounts", "--timeout", "0s"],
        &["doctor", "--mounts", "--timeout", "soon"],
    ] {
        assert_exit(&tidegate().args(arguments).output().unwrap(), 64);
    }
}
