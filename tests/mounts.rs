//! A mount that does not answer is left alone, and used again by itself; one that answers never is left
//! alone, whatever hangs on it. On a FUSE tree whose server keeps its answers back.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
#[path = "mounts/cases.rs"]
mod cases;
#[cfg(target_os = "linux")]
#[path = "mounts/scene.rs"]
mod scene;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use tidegate::Route;
    use tidegate_rig::{FsKind, Requirements};

    tidegate_rig::init();
    let mut args = libtest_mimic::Arguments::from_args();
    // Threads are looked for by name.
    args.test_threads = Some(1);
    let mut trials = Vec::new();
    for route in [Route::Auto, Route::Ring, Route::Pool] {
        let mut add = |name: &str, run: fn(&scene::Scene) -> scene::Outcome| {
            trials.push(scene::trial(name, route, Requirements::fuse(), run));
        };
        add(
            "a_dead_mount_is_refused_and_used_again_by_itself",
            cases::dead,
        );
        add("files_that_hang_do_not_cut_off_their_mount", cases::some);
        add(
            "a_success_between_timeouts_begins_the_count_anew",
            cases::mixed,
        );
        add(
            "a_killed_server_gives_its_own_error_and_leaves_no_thread",
            cases::killed,
        );
        add(
            "handles_that_ask_the_same_mount_share_a_thread",
            cases::shared,
        );
        trials.push(scene::trial(
            "a_dead_disk_whose_filesystem_answers_is_not_refused",
            route,
            Requirements::disk(FsKind::Ext4),
            cases::disk,
        ));
    }
    libtest_mimic::run(&args, trials).exit_code()
}
