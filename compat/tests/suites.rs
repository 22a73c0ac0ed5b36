//! The own test suites of published packages run on `tidegate::fs` with nothing but their imports changed,
//! and pass what they pass on `tokio::fs`.
//!
//! Their sources come from the registry in the versions of `compat/suites/Cargo.lock`. A test that fails on
//! tokio is named and asked of nobody.

#[path = "common/command.rs"]
mod command;
#[path = "suites/list.rs"]
mod list;
#[path = "suites/manifest.rs"]
mod manifest;
#[path = "../../tests/common/registry.rs"]
mod registry;
#[path = "drop_in/rewrite.rs"]
mod rewrite;
#[path = "suites/workspace.rs"]
mod workspace;

use std::time::Duration;

use list::Suite;
use workspace::{ON_TIDEGATE, ON_TOKIO, Outcome, Workspace};

/// A suite that takes so much longer than on tokio waits for something that does not come.
const MUCH_LONGER: Duration = Duration::from_secs(20);

#[test]
fn published_suites_pass_what_they_pass_on_tokio() {
    let workspace = Workspace::built();
    let mut backends = vec!["auto", "ring", "pool"];
    if let Some(reason) = tidegate::probe::report().ring_reason() {
        eprintln!("skip: ring: {reason}");
        backends.retain(|backend| *backend != "ring");
    }
    let mut complaints = Vec::new();
    for suite in workspace.suites() {
        for (name, reason) in suite.skipped {
            println!("  left out: {name}: {reason}");
        }
        let on_tokio = workspace.test(suite, ON_TOKIO, "auto");
        println!("{}", line(suite, "tokio", &on_tokio));
        for name in &on_tokio.failed {
            println!("  left out, as it fails on tokio: {name}");
        }
        if on_tokio.passed.len() < suite.at_least {
            let count = on_tokio.passed.len();
            complaints.push(format!(
                "{}: {count} tests on tokio\n{}",
                suite.name, on_tokio.log
            ));
        }
        for backend in &backends {
            let ours = workspace.test(suite, ON_TIDEGATE, backend);
            println!("{}", line(suite, backend, &ours));
            let missing: Vec<_> = on_tokio
                .passed
                .iter()
                .filter(|name| !ours.passed.contains(name))
                .collect();
            if !missing.is_empty() {
                complaints.push(format!(
                    "{} on {backend}: {missing:?}\n{}",
                    suite.name, ours.log
                ));
            }
            if ours.took > on_tokio.took * 2 + MUCH_LONGER {
                complaints.push(format!("{} on {backend}: {:?}", suite.name, ours.took));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn line(suite: &Suite, backend: &str, outcome: &Outcome) -> String {
    format!(
        "{:20} {:8} {:5} {:>4} passed {:>3} failed {:6.2} s",
        suite.name,
        suite.version,
        backend,
        outcome.passed.len(),
        outcome.failed.len(),
        outcome.took.as_secs_f64()
    )
}
