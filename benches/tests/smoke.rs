//! Every engine does every workload, so that the comparison works when somebody needs it.
#![cfg(target_os = "linux")]

use std::process::Command;

use tidegate_measure::data::Data;
use tidegate_measure::engine::{Engine, engines};
use tidegate_measure::workload::{WORKLOADS, Workload};

/// Short turns over small files.
fn compare(args: &[&str]) -> String {
    let dir = env!("CARGO_TARGET_TMPDIR");
    let output = Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(["--dir", dir, "--rounds", "1", "--seconds", "0.02"])
        .args(["--file-mib", "4", "--small-files", "50"])
        .args(args)
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).expect("text")
}

fn has_ring() -> bool {
    tidegate::probe::report().ring_reason().is_none()
}

#[test]
fn every_engine_does_every_workload() {
    let all = engines();
    let able = |engine: &&Engine| has_ring() || !matches!(engine, Engine::Ring(_));
    let engines: Vec<String> = all.iter().filter(able).map(Engine::to_string).collect();
    if engines.len() < all.len() {
        println!("skip: ring_peers_do_every_workload: no ring can be had here");
    }
    let text = compare(&["--engines", &engines.join(",")]);
    if !Data::can_forget_all() {
        println!("skip: every_engine_does_cold_workloads: needs root");
    }
    let able = |work: &&Workload| Data::can_forget_all() || !work.is_cold();
    for workload in WORKLOADS.iter().filter(able) {
        assert!(text.contains(&format!("## {}:", workload.name)), "{text}");
    }
    for engine in &engines {
        assert!(text.contains(&format!("| {engine} ")), "{engine}: {text}");
    }
    assert!(!text.contains(" failed: "), "{text}");
    assert!(text.contains("- kernel: "), "{text}");
}

#[test]
fn json_has_every_round() {
    let text = compare(&["--json", "--engines", "tidegate,inline", "metadata-1"]);
    let all: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let engines = &all["workloads"][0]["engines"];
    assert_eq!(engines[0]["engine"], "tidegate");
    assert_eq!(engines[0]["rounds"].as_array().map(Vec::len), Some(1));
    assert!(engines[0].get("rate_to_inline").is_some(), "{text}");
}
