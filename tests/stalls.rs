//! Nothing stalls in silence: storage that does not answer, and limits, cancels, lanes, orphans and ends that
//! keep what they promise meanwhile.
//!
//! What ends at a limit has ended while the hold was still on; that is what is asserted. How long after the
//! limit is printed. Not here: `submit_never_on_worker` is `no_freeze`, `fork_refused` is in `lifetimes`, and
//! `enter_faults` are the simulated kernel's.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
#[path = "stalls/cancels.rs"]
mod cancels;
#[cfg(target_os = "linux")]
#[path = "stalls/cases.rs"]
mod cases;
#[cfg(target_os = "linux")]
#[path = "stalls/child.rs"]
mod child;
#[cfg(target_os = "linux")]
#[path = "stalls/deadlines.rs"]
mod deadlines;
#[cfg(target_os = "linux")]
#[path = "stalls/disks.rs"]
mod disks;
#[cfg(target_os = "linux")]
#[path = "stalls/ends.rs"]
mod ends;
#[cfg(target_os = "linux")]
#[path = "stalls/moving.rs"]
mod moving;
#[cfg(target_os = "linux")]
#[path = "stalls/neighbours.rs"]
mod neighbours;
#[cfg(target_os = "linux")]
#[path = "stalls/orphans.rs"]
mod orphans;
#[cfg(target_os = "linux")]
#[path = "stalls/provided.rs"]
mod provided;
#[cfg(target_os = "linux")]
#[path = "stalls/reuse.rs"]
mod reuse;
#[cfg(target_os = "linux")]
#[path = "common/slots.rs"]
mod slots;
#[cfg(target_os = "linux")]
#[path = "stalls/small_files.rs"]
mod small_files;
#[cfg(target_os = "linux")]
#[path = "stalls/stage.rs"]
mod stage;
#[cfg(target_os = "linux")]
#[path = "stalls/traces.rs"]
mod traces;

#[cfg(target_os = "linux")]
type Test = fn(stage::Way) -> stage::Outcome;

/// On a tree that stalls, each in every way.
#[cfg(target_os = "linux")]
const ON_FUSE: &[(&str, Test)] = &[
    (
        "deadline_independent_of_ring",
        deadlines::independent_of_ring,
    ),
    (
        "deadline_while_the_thread_is_busy",
        deadlines::while_the_thread_is_busy,
    ),
    (
        "cancel_goes_out_while_the_thread_is_busy",
        deadlines::cancelled_while_the_thread_is_busy,
    ),
    ("deadline_without_a_timer", deadlines::without_a_timer),
    ("deadline_polled_by_hand", deadlines::polled_by_hand),
    ("deadline_passed_already", deadlines::passed_already),
    (
        "deadline_of_a_composite",
        deadlines::composite_has_one_budget,
    ),
    ("deadline_by_default", deadlines::defaults),
    ("cancel_honoured", cancels::cancel_honoured),
    ("cancel_ignored", cancels::cancel_ignored),
    ("cancelled_before", cancels::cancelled_before),
    ("one_token_for_many", cancels::one_token_for_many),
    ("late_open_closed", orphans::late_open_closed),
    (
        "timedout_write_lands_later",
        orphans::timedout_write_lands_later,
    ),
    (
        "timedout_write_takes_effect",
        orphans::timedout_write_takes_effect,
    ),
    (
        "orphan_survives_ring_close",
        orphans::orphan_survives_ring_close,
    ),
    ("stall_cap", orphans::stall_cap),
    ("killed_server", orphans::killed_server),
    ("aborted_mount", orphans::aborted_mount),
    ("hash_collision", neighbours::hash_collision),
    ("raise_then_kick", neighbours::raise_then_kick),
    ("lane_failover", neighbours::lane_failover),
    (
        "heartbeat_when_lane_wedged",
        neighbours::heartbeat_when_lane_wedged,
    ),
    (
        "wedge_rehome_unsubmitted",
        neighbours::wedge_rehome_unsubmitted,
    ),
    ("lane_never_joins_stuck", neighbours::lane_never_joins_stuck),
    ("fsync_after_writes", disks::fsync_after_writes),
    (
        "flush_waits_for_a_late_write",
        disks::flush_waits_for_a_late_write,
    ),
    ("shutdown_bounded", ends::shutdown_bounded),
    ("shutdown_ends_the_futures", ends::shutdown_ends_the_futures),
    ("exec_reports_orphans", ends::exec_reports_orphans),
    (
        "a_killed_server_leaves_no_process",
        ends::a_killed_server_leaves_no_process,
    ),
    ("pbuf_stuck_reserve", provided::stuck_reserve),
    ("pbuf_given_up", provided::given_up),
    ("fd_reuse_async", reuse::fd_reuse_async),
    (
        "small_files_beside_stuck_ones",
        small_files::beside_stuck_ones,
    ),
    ("small_files_dropped", small_files::dropped),
    ("small_files_given_back", small_files::given_back),
    (
        "one_is_stuck_among_others",
        moving::one_is_stuck_among_others,
    ),
];

/// With a real filesystem on a disk that stalls, or beside a tree that does.
#[cfg(target_os = "linux")]
const ON_DISK: &[(&str, Test)] = &[
    ("cancel_matrix", cancels::matrix),
    ("hol_64_statx", neighbours::hol_64_statx),
    ("small_files_on_a_dead_disk", small_files::on_a_dead_disk),
    ("fsfreeze_write", disks::fsfreeze_write),
    (
        "frozen_writes_leave_threads",
        disks::frozen_writes_leave_threads,
    ),
    ("a_queue_is_no_stall", moving::a_queue_is_no_stall),
    ("a_slow_sync_of_ext4", moving::a_slow_sync_of_ext4),
    ("a_slow_direct_transfer", moving::a_slow_direct_transfer),
    ("throttle_slow_not_stuck", disks::throttle_slow_not_stuck),
    (
        "fsync_after_writes_on_a_disk",
        disks::fsync_after_writes_on_a_disk,
    ),
];

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use libtest_mimic::Arguments;
    use tidegate_rig::{FsKind, Requirements};

    tidegate_rig::init();
    if let Some(code) = child::run_if_asked() {
        return code;
    }
    let mut args = Arguments::from_args();
    // One at a time: each counts the descriptors and threads of the process.
    args.test_threads = Some(1);
    let mut trials = Vec::new();
    let mut add = |way: stage::Way, needs, name: &str, test: Test| {
        let name = format!("{}::{name}", way.name);
        trials.push(stage::trial(name, needs, way.route, move || test(way)));
    };
    for way in stage::WAYS {
        for (name, test) in ON_FUSE {
            add(way, Requirements::fuse(), name, *test);
        }
        for (name, test) in ON_DISK {
            add(way, Requirements::disk(FsKind::Ext4), name, *test);
        }
        let of_kinds: [(_, _, Test); 2] = [
            (
                FsKind::Xfs,
                "a_slow_sync_of_xfs",
                moving::a_slow_sync_of_xfs,
            ),
            (
                FsKind::Btrfs,
                "a_slow_sync_of_btrfs",
                moving::a_slow_sync_of_btrfs,
            ),
        ];
        for (kind, name, test) in of_kinds {
            add(way, Requirements::disk(kind), name, test);
        }
        add(
            way,
            Requirements::fuse(),
            "pids_cgroup_full",
            ends::pids_cgroup_full,
        );
    }
    for way in stage::ISOLATED {
        add(
            way,
            Requirements::fuse(),
            "runtime_drop_bounded",
            ends::runtime_drop_bounded,
        );
        add(
            way,
            Requirements::fuse(),
            "a_lane_without_a_handle_asks_again",
            ends::a_lane_without_a_handle_asks_again,
        );
    }
    libtest_mimic::run(&args, trials).exit_code()
}
