//! Copies of trees in which some paths do not answer: what hangs is left out and named, and the rest is copied.
//!
//! Holds are still in force when a copy has said all that it says: that order is the assertion. Only then they
//! are released, since the kernel keeps a process from ending while a server has one of its requests.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod common;
#[cfg(target_os = "linux")]
#[path = "copy_stuck/run.rs"]
mod run;
#[cfg(target_os = "linux")]
#[path = "copy_stuck/trials.rs"]
mod trials;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    tidegate_rig::init();
    let mut args = libtest_mimic::Arguments::from_args();
    // One at a time: a machine that has too much to do is slow, and slow is not to look stuck.
    args.test_threads = Some(1);
    libtest_mimic::run(&args, trials::all()).exit_code()
}
