//! No disk freezes the runtime (INV-13, `submit_never_on_worker`): a current-thread runtime goes on ticking
//! while disks and FUSE trees under it do not answer, work on a healthy filesystem goes on, and everything
//! completes with the right bytes once they do.
//!
//! The largest gap between ticks is the behaviour under test, and printed for each run. What the thread
//! only waited for a CPU is taken off, since no disk makes it do that. What other libraries do in the same
//! place is printed by `cargo run --release -p tidegate-rig --example freeze_compare`.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
#[path = "no_freeze/disk_files.rs"]
mod disk_files;
#[cfg(target_os = "linux")]
#[path = "no_freeze/ends.rs"]
mod ends;
#[cfg(target_os = "linux")]
#[path = "no_freeze/flood.rs"]
mod flood;
#[cfg(target_os = "linux")]
#[path = "no_freeze/fuse.rs"]
mod fuse;
#[cfg(target_os = "linux")]
#[path = "no_freeze/healthy.rs"]
mod healthy;
#[cfg(target_os = "linux")]
#[path = "no_freeze/operations.rs"]
mod operations;
#[cfg(target_os = "linux")]
#[path = "no_freeze/stage.rs"]
mod stage;
#[cfg(target_os = "linux")]
#[path = "no_freeze/ticker.rs"]
mod ticker;
#[cfg(target_os = "linux")]
#[path = "no_freeze/traces.rs"]
mod traces;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use libtest_mimic::Arguments;
    use tidegate_rig::{FsKind, Requirements};

    tidegate_rig::init();
    let mut args = Arguments::from_args();
    // One at a time: each measures its own gaps, and counts the threads of the process.
    args.test_threads = Some(1);
    let mut trials = Vec::new();
    for kind in FsKind::ALL {
        for way in stage::WAYS {
            let mut add = |name: &str, run: fn(FsKind, stage::Way) -> stage::Outcome| {
                let name = format!("{}::{}::{name}", kind.name(), way.name());
                let needs = Requirements::disk(kind);
                trials.push(stage::trial(name, needs, way, move || run(kind, way)));
            };
            add("a_dead_disk_freezes_nothing", operations::run);
            add("a_flood_of_reads_freezes_nothing", flood::run);
            if way.submits_at_poll() {
                add(
                    "a_few_stuck_writes_hold_no_other_files",
                    operations::few_writes,
                );
            }
        }
    }
    for way in stage::WAYS {
        let mut add = |name: &str, needs, run: fn(stage::Way) -> stage::Outcome| {
            let name = format!("{}::{name}", way.name());
            trials.push(stage::trial(name, needs, way, move || run(way)));
        };
        let disk = Requirements::disk(FsKind::Ext4);
        add(
            "a_dead_fuse_server_freezes_nothing",
            Requirements::fuse(),
            fuse::run,
        );
        add(
            "a_mount_never_seen_freezes_nothing",
            disk,
            operations::never_seen,
        );
        add("a_runtime_ends_while_a_disk_is_dead", disk, ends::run);
    }
    libtest_mimic::run(&args, trials).exit_code()
}
