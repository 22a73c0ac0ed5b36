//! What is not in memory takes one call on a thread, and who goes through a directory does not wait for each entry.

#[cfg(target_os = "linux")]
mod common;

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
#[path = "misses/cold.rs"]
mod cold;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use libtest_mimic::{Arguments, Completion, Trial};
    use tidegate_rig::{FsKind, Requirements};

    tidegate_rig::init();
    let mut args = Arguments::from_args();
    // Another test's mounts would have this one's driver read the list of mounts anew, which is counted with its own calls.
    args.test_threads = Some(1);
    let trial = |(name, run): (&'static str, fn())| {
        Trial::ignorable_test(name, move || {
            let missing = Requirements::disk(FsKind::Ext4).missing().join(", ");
            if !missing.is_empty() {
                println!("skip: {name}: {missing}");
                return Ok(Completion::ignored_with(missing));
            }
            run();
            Ok(Completion::Completed)
        })
    };
    let trials = cold::ALL.into_iter().map(trial).collect();
    libtest_mimic::run(&args, trials).exit_code()
}
