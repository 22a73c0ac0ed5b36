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

/// Programs read it: what was there stays, under the same names, whatever the text for people looks like.
#[test]
fn the_json_keeps_its_names() {
    let output = tidegate().args(["doctor", "--json", "/"]).output().unwrap();
    let diagnosis = json(&output);
    let names = |at: &str| {
        let value = diagnosis
            .pointer(at)
            .unwrap_or_else(|| panic!("{at}: {diagnosis}"));
        let mut names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names.join(" ")
    };
    for (at, expected) in [
        (
            "",
            "broken buffers filesystem kernel limits operations requested_backend ring settings",
        ),
        ("/buffers", "features groups"),
        (
            "/buffers/features/0",
            "available errno first_kernel name reason remedy",
        ),
        (
            "/buffers/groups",
            "exhausted in_flight in_flight_delta peak per_ring_max remaining rings",
        ),
        (
            "/filesystem",
            "answers_at_poll at_poll direct_io fs_type mount_point path",
        ),
        ("/filesystem/at_poll/0", "answer available reason remedy"),
        ("/limits", "locked_memory_bytes open_files processes"),
        (
            "/operations/0",
            "blocking first_kernel name opcode reason way",
        ),
        (
            "/settings",
            "breaker_probe_every_ms breaker_probe_patience_ms breaker_timeouts \
             heartbeat_interval_ms stuck_threads_max timeouts warn_after_ms",
        ),
        ("/settings/timeouts", "data_ms metadata_ms sync_ms"),
    ] {
        assert_eq!(names(at), expected, "{at}");
    }
    let table = tidegate::opcode::TABLE.iter().map(|row| row.name);
    let listed = diagnosis["operations"].as_array().unwrap().iter();
    assert!(table.eq(listed.map(|one| one["name"].as_str().unwrap())));
}

/// On the ring and without one: no line is wider than a terminal but by a word that cannot be broken, and no column runs
/// into the next.
#[test]
fn the_text_fits_a_terminal() {
    for backend in ["auto", "pool"] {
        let mut doctor = tidegate();
        let output = doctor
            .args(["doctor", "/"])
            .env("TIDEGATE_BACKEND", backend);
        let text = String::from_utf8(output.output().unwrap().stdout).unwrap();
        for line in text.lines() {
            let is_one_word = line.split_whitespace().count() == 1;
            assert!(line.chars().count() <= 80 || is_one_word, "{line}\n{text}");
        }
        for row in tidegate::opcode::TABLE {
            let mut lines = text.lines();
            let line = lines.find(|line| line.split(' ').next() == Some(row.name));
            let line = line.unwrap_or_else(|| panic!("{}: {text}", row.name));
            let mut words = line.split_whitespace().skip(1);
            let way = words.next().unwrap();
            assert!(["ring", "threads", "none"].contains(&way), "{line}");
            let opcode = words.next().unwrap();
            assert_eq!(
                opcode,
                row.opcode.map_or("-", |opcode| opcode.name),
                "{line}"
            );
        }
    }
}

/// R38: what rings can register is shown, each with a reason and a remedy where it cannot be had, and the ids of
/// buffer groups, of which a handle that is new uses none.
#[test]
fn buffers_and_their_groups_are_shown() {
    let output = tidegate().args(["doctor", "--json"]).output().unwrap();
    let buffers = &json(&output)["buffers"];
    let features = buffers["features"].as_array().unwrap();
    for found in tidegate::probe::features() {
        let name = found.feature.name();
        let shown = features.iter().find(|feature| feature["name"] == name);
        let shown = shown.unwrap_or_else(|| panic!("{name}: {buffers}"));
        assert_eq!(shown["available"], found.reason.is_none(), "{shown}");
        for part in ["reason", "remedy"] {
            assert_eq!(shown[part].is_string(), found.reason.is_some(), "{shown}");
        }
    }
    let groups = &buffers["groups"];
    for none in ["in_flight", "in_flight_delta", "peak", "exhausted"] {
        assert_eq!(groups[none], 0, "{groups}");
    }
    assert_eq!(groups["remaining"], 65_536);
    assert_eq!(groups["per_ring_max"], 65_536);
    let text = tidegate().arg("doctor").output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("65536 left; none left 0 times"), "{text}");
}

/// R48, R49: where the limit on locked memory leaves no room, that is the reason, with its number.
#[test]
#[cfg(target_os = "linux")]
fn a_limit_on_locked_memory_is_named() {
    let test = "a_limit_on_locked_memory_is_named";
    if natural() != 0 {
        return println!("skip: {test}: no io_uring on this machine");
    }
    let binary = tempfile::tempdir().unwrap();
    let mut doctor = without_locked_memory(binary.path());
    let output = doctor.args(["doctor", "--json", "/"]).output().unwrap();
    let diagnosis = json(&output);
    assert_eq!(diagnosis["limits"]["locked_memory_bytes"], 0);
    let features = diagnosis["buffers"]["features"].as_array().unwrap();
    let registered = |feature: &&serde_json::Value| feature["name"] == "registered_buffers";
    let registered = features.iter().find(registered).unwrap();
    assert_eq!(registered["available"], false);
    assert_eq!(registered["errno"], nix::libc::ENOMEM);
    let remedy = registered["remedy"].as_str().unwrap();
    assert!(remedy.contains("RLIMIT_MEMLOCK"), "{registered}");
}

/// The binary for somebody without privileges who may lock no memory, in a place where everybody may run it.
#[cfg(target_os = "linux")]
fn without_locked_memory(place: &std::path::Path) -> std::process::Command {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let binary = place.join("tidegate");
    std::fs::copy(env!("CARGO_BIN_EXE_tidegate"), &binary).unwrap();
    std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "ulimit -l 0 && exec \"$0\" \"$@\""])
        .arg(binary)
        .env_remove("TIDEGATE_BACKEND");
    if nix::unistd::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    command
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
