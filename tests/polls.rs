//! No poll, no drop and no other synchronous step of the public functions sleeps on storage (INV-13): every call,
//! on every kind of filesystem, in every state that was found to make one sleep, while the storage is held.
//!
//! Nothing here is measured by a clock. The thread that polls is looked at from outside, in procfs, while it has
//! not returned. That each state is what it says, and that the storage is held, is shown by plain calls of std
//! which have to sleep meanwhile. A call that is answered at the poll is made on a mount that the library takes
//! for healthy, which is asked each time: where it does not, nothing would be shown.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
#[path = "polls/apart.rs"]
mod apart;
#[cfg(target_os = "linux")]
#[path = "polls/batch.rs"]
mod batch;
#[cfg(target_os = "linux")]
#[path = "polls/calls.rs"]
mod calls;
#[cfg(target_os = "linux")]
mod common;
#[cfg(target_os = "linux")]
#[path = "polls/handles.rs"]
mod handles;
#[cfg(target_os = "linux")]
#[path = "polls/layouts.rs"]
mod layouts;
#[cfg(target_os = "linux")]
#[path = "polls/make.rs"]
mod make;
#[cfg(target_os = "linux")]
#[path = "polls/matrix.rs"]
mod matrix;
#[cfg(target_os = "linux")]
#[path = "polls/newer.rs"]
mod newer;
#[cfg(target_os = "linux")]
#[path = "polls/stage.rs"]
mod stage;
#[cfg(target_os = "linux")]
#[path = "polls/states.rs"]
mod states;
#[cfg(target_os = "linux")]
#[path = "polls/watch.rs"]
mod watch;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use libtest_mimic::Arguments;

    tidegate_rig::init();
    let mut args = Arguments::from_args();
    // One at a time: they share the disks, and look at threads.
    args.test_threads = Some(1);
    let mut trials = matrix::trials();
    // Last, as one of them takes the log of the whole process.
    trials.extend(apart::trials());
    let conclusion = libtest_mimic::run(&args, trials);
    matrix::end();
    conclusion.exit_code()
}
