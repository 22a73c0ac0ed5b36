//! No success that did not happen, and no failure that is none: what filesystems say late, what they say of sizes,
//! sources that change, calls that are interrupted, and rights that a copy must not hand on.

#[cfg(target_os = "linux")]
#[path = "no_false_success/closes.rs"]
mod closes;
#[cfg(target_os = "linux")]
mod common;
#[cfg(target_os = "linux")]
#[path = "no_false_success/copies.rs"]
mod copies;
#[cfg(target_os = "linux")]
#[path = "no_false_success/durable.rs"]
mod durable;
#[cfg(target_os = "linux")]
#[path = "no_false_success/listings.rs"]
mod listings;
#[cfg(target_os = "linux")]
#[path = "no_false_success/rooms.rs"]
mod rooms;
#[cfg(target_os = "linux")]
#[path = "no_false_success/signals.rs"]
mod signals;
#[cfg(target_os = "linux")]
#[path = "no_false_success/storage.rs"]
mod storage;
#[cfg(target_os = "linux")]
#[path = "no_false_success/thin.rs"]
mod thin;
#[cfg(target_os = "linux")]
#[path = "no_false_success/writebacks.rs"]
mod writebacks;

#[cfg(target_os = "linux")]
mod stage {
    use std::io;

    use libtest_mimic::{Completion, Failed, Trial};
    use tidegate::{Handle, Route};
    use tidegate_rig::Requirements;

    use crate::common;

    pub(crate) type Outcome = Result<(), Failed>;
    pub(crate) type Test = fn(Route) -> Outcome;

    pub(crate) fn ensure(truth: bool, what: impl Into<String>) -> Result<(), String> {
        if truth { Ok(()) } else { Err(what.into()) }
    }

    /// The number of the error that must come of it.
    pub(crate) fn number<T>(what: &str, result: io::Result<T>) -> Result<i32, String> {
        match result {
            Ok(_) => Err(format!("{what} succeeded")),
            Err(error) => error
                .raw_os_error()
                .ok_or_else(|| format!("{what}: {error:?} has no number")),
        }
    }

    /// Runs it on a runtime whose handle is pinned to that backend.
    pub(crate) fn on<F: Future<Output = Outcome>>(
        route: Route,
        test: impl FnOnce(Handle) -> F,
    ) -> Outcome {
        common::runtime(true).block_on(async {
            let handle = Handle::builder().route(route).install()?;
            test(handle).await
        })
    }

    pub(crate) fn trials(name: &str, needs: &[Requirements], test: Test) -> Vec<Trial> {
        let trial = |route: Route| {
            let name = format!("{route:?}::{name}").to_lowercase();
            let (shown, needs) = (name.clone(), needs.to_vec());
            Trial::ignorable_test(name, move || {
                let mut missing: Vec<_> = needs.iter().flat_map(|needs| needs.missing()).collect();
                if let (Route::Ring, Some(reason)) =
                    (route, tidegate::probe::report().ring_reason())
                {
                    missing.push(format!("a ring: {reason}"));
                }
                if missing.is_empty() {
                    return test(route).map(|()| Completion::Completed);
                }
                let reason = missing.join(", ");
                println!("skip: {shown}: {reason}");
                Ok(Completion::ignored_with(reason))
            })
        };
        common::ROUTES.into_iter().map(trial).collect()
    }
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    tidegate_rig::init();
    let mut args = libtest_mimic::Arguments::from_args();
    // One at a time: signals go to all threads.
    args.test_threads = Some(1);
    libtest_mimic::run(&args, trials()).exit_code()
}

#[cfg(target_os = "linux")]
fn trials() -> Vec<libtest_mimic::Trial> {
    use tidegate_rig::FsKind::{Btrfs, Ext4, Xfs};
    use tidegate_rig::Requirements;

    let fuse: &[_] = &[Requirements::fuse()];
    let disks: &[_] = &[Ext4, Xfs, Btrfs].map(Requirements::disk);
    let btrfs = &disks[2..];
    macro_rules! all {
        ($($name:literal, $needs:expr, $test:path;)+) => {
            [$(stage::trials($name, $needs, $test)),+]
        };
    }
    let all = all! {
        "what_a_close_answers_is_told", fuse, closes::are_told;
        "a_failed_copy_has_no_name", fuse, closes::leave_no_name;
        "sizes_are_hints", &[], copies::sizes_are_hints;
        "other_sizes_are_hints", fuse, copies::other_sizes_are_hints;
        "a_source_that_changed_is_told", fuse, copies::changes_are_told;
        "rights_go_with_their_owner", &[], copies::rights_go_with_their_owner;
        "too_much_is_told", fuse, storage::of_too_much_is_told;
        "what_is_read_only_is_told", fuse, storage::of_what_is_read_only_is_told;
        "what_a_disk_lost_is_told", disks, storage::of_what_the_disk_lost_is_told;
        "full_disks_are_told", disks, rooms::on_full_disks_are_told;
        "quotas_are_told", btrfs, rooms::on_quotas_are_told;
        "servers_without_room_are_told", fuse, rooms::of_servers_are_told;
        "listings_that_fail_are_told", fuse, listings::that_fail_are_told;
        "what_changes_its_size_is_read_from_its_beginning", &[], listings::of_what_changes_its_size_are_beginnings;
        "folders_that_others_make_are_none", &[], storage::of_the_same_folders_is_none;
        "files_are_whole_or_not_at_all", fuse, durable::whole_or_not_at_all;
        "logs_tell_of_failed_syncs", fuse, durable::logs_tell_of_failed_syncs;
        "signals_interrupt_nothing", fuse, signals::interrupt_nothing;
        "writebacks_in_the_background_are_told", disks, writebacks::in_the_background_are_told;
        "writebacks_of_servers_are_told", fuse, writebacks::of_servers_are_told;
        "writers_on_a_dead_disk_go_on", disks, writebacks::on_a_dead_disk_go_on;
        "writers_on_a_disk_that_recovers_are_bounded_again", disks, writebacks::on_a_disk_that_recovers_are_bounded_again;
        "what_thin_disks_lost_is_told", disks, thin::disks_are_told;
        "what_thin_disks_lost_is_told_to_later_opens", disks, thin::disks_are_told_to_later_opens;
        "writebacks_of_layers_are_told", disks, writebacks::of_layers_are_told;
    };
    all.into_iter().flatten().collect()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skip: no_false_success: it takes FUSE and procfs");
}
