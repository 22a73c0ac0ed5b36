//! What one dead mount may take of the process: threads, descriptors and memory stay within what is said, whatever
//! operation hangs there, and the counters tell what happened.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod common;
#[cfg(target_os = "linux")]
#[path = "caps/counting.rs"]
mod counting;
#[cfg(target_os = "linux")]
#[path = "caps/one_hop.rs"]
mod one_hop;
#[cfg(target_os = "linux")]
#[path = "caps/rows.rs"]
mod rows;
#[cfg(target_os = "linux")]
#[path = "caps/scene.rs"]
mod scene;
#[cfg(target_os = "linux")]
#[path = "caps/stuck.rs"]
mod stuck;

#[cfg(target_os = "linux")]
type Test = fn(scene::Scene) -> scene::Outcome;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use libtest_mimic::{Arguments, Completion, Trial};
    use scene::SCENES;
    use tidegate::Route;
    use tidegate_rig::Requirements;

    tidegate_rig::init();
    scene::limit_descriptors();
    let mut args = Arguments::from_args();
    // One at a time: each counts the threads and descriptors of the process.
    args.test_threads = Some(1);
    let tests: [(&str, Test); 9] = [
        ("every_row_stays_within_its_caps", stuck::every_row),
        ("several_steps_stay_within_their_caps", stuck::compounds),
        ("a_flood_stays_within_its_caps", stuck::flood),
        (
            "two_dead_mounts_leave_a_third_its_threads",
            stuck::two_dead_mounts,
        ),
        (
            "closes_that_hang_leave_the_rest_of_the_descriptors",
            stuck::closes,
        ),
        ("an_entry_of_a_directory_is_tried_once", one_hop::entry),
        ("what_a_thread_does_takes_one_hop", one_hop::on_fuse),
        ("a_local_file_takes_one_hop", one_hop::local),
        ("an_overlay_takes_one_hop", one_hop::on_overlay),
    ];
    let mut trials = Vec::new();
    for scene in SCENES {
        for (name, test) in tests {
            let name = format!("{}::{name}", scene.name);
            let shown = name.clone();
            trials.push(Trial::ignorable_test(name, move || {
                let mut missing = Requirements::fuse().missing();
                if let (Route::Ring, Some(reason)) =
                    (scene.route, tidegate::probe::report().ring_reason())
                {
                    missing.push(format!("a ring: {reason}"));
                }
                if missing.is_empty() {
                    return test(scene).map(|()| Completion::Completed);
                }
                let reason = missing.join(", ");
                println!("skip: {shown}: {reason}");
                Ok(Completion::ignored_with(reason))
            }));
        }
    }
    libtest_mimic::run(&args, trials).exit_code()
}
