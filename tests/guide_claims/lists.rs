//! The sentences, by how they begin, and what shows them.

use Shown::{By, NotAs};

/// How a sentence begins, and what shows it.
pub(crate) struct Claim(pub(crate) &'static str, pub(crate) Shown);

pub(crate) enum Shown {
    /// These tests, by file and function.
    By(&'static [&'static str]),
    /// No test, for this reason.
    NotAs(&'static str),
}

/// What is said in the next sentences, or was in those before.
const HEAD: Shown = NotAs("it says what others are about");
/// Where a link leads has tests of its own.
const LINK: Shown = NotAs("it leads to another page or item");

pub(crate) const FROM_TOKIO_FS: &[Claim] = &[
    Claim("Moving from", HEAD),
    Claim(
        "Change the imports",
        By(&[
            "tests/tokio_parity::no_item_of_tokio_is_missing_or_other",
            "compat/tests/drop_in::tokio_s_own_tests_pass",
        ]),
    ),
    Claim("Limits", HEAD),
    Claim(
        "An operation ends in an error of kind `TimedOut`",
        By(&[
            "tests/guide_claims::the_line_of_the_page_switches_the_limits_off",
            "tests/testing/deadlines::the_default_of_the_handle_holds",
        ]),
    ),
    Claim(
        "`TIDEGATE_TIMEOUTS=",
        By(&[
            "tests/guide_claims::the_line_of_the_page_switches_the_limits_off",
            "tests/testing/deadlines::the_default_of_the_handle_holds",
        ]),
    ),
    Claim(
        "Dropped futures are",
        By(&["tests/dropped_futures::a_dropped_future_does_as_the_table_says"]),
    ),
    Claim(
        "A table says",
        By(&["tests/dropped_futures::the_table_has_all_functions_of_tokio"]),
    ),
    Claim("Refusals", HEAD),
    Claim(
        "Where a mount does not answer",
        By(&[
            "tests/testing/mounts::a_mount_that_does_not_answer_is_left_alone",
            "tests/testing/deadlines::at_the_cap_more_is_refused",
        ]),
    ),
    Claim(
        "`Breaker` and",
        By(&["tests/testing/deadlines::at_the_cap_more_is_refused"]),
    ),
    Claim("Failed syncs stay", HEAD),
    Claim(
        "After a `sync_all` that failed",
        By(&["tests/testing/files::a_failed_sync_poisons_the_file"]),
    ),
    Claim("Late closes", HEAD),
    Claim(
        "A dropped file is closed when",
        By(&[
            "tests/closes::a_dropped_program_can_be_run",
            "tests/no_freeze::main",
        ]),
    ),
    Claim(
        "`File::close` waits",
        By(&[
            "tests/cancel::a_dropped_close_leaks_no_descriptor",
            "tests/no_false_success::main",
        ]),
    ),
    Claim("Readahead", HEAD),
    Claim(
        "Positional reads through",
        By(&["tests/guide_claims::readahead_is_off_and_on_again"]),
    ),
    Claim("Tasks", HEAD),
    Claim(
        "`num_alive_tasks()`",
        By(&["tests/dropped_futures::an_idle_runtime_has_the_tasks_that_the_guide_names"]),
    ),
    Claim(
        "They do nothing",
        By(&["tests/idle::an_idle_handle_makes_no_system_call"]),
    ),
    Claim(
        "Types: ",
        By(&["tests/tokio_file/conversions::a_file_of_std_goes_on_where_its_cursor_is"]),
    ),
    Claim(
        "Errors: kind",
        By(&[
            "tests/tokio_file/differences::errors_are_plain_unless_the_handle_names_them",
            "tests/questions::names_that_lead_anywhere",
        ]),
    ),
    Claim(
        "Descriptors of any kind",
        By(&["tests/descriptors::pipes_sockets_and_terminals_are_as_with_std"]),
    ),
    Claim(
        "Where a thread reads for you",
        NotAs(
            "who gets the next bytes, the reader that gave up or the next one, is a race on both",
        ),
    ),
    Claim(
        "A write returns when",
        By(&["tests/tokio_file/errors::the_error_of_a_write_comes_with_the_next_write"]),
    ),
    Claim(
        "A dropped file is closed: it",
        By(&[
            "tests/closes::a_dropped_lock_is_free",
            "tests/closes::a_dropped_pipe_hangs_up",
        ]),
    ),
    Claim(
        "Memory that is borrowed",
        NotAs(
            "the signatures of the traits say so: the memory is the caller's again when the poll returns",
        ),
    ),
    Claim(
        "If it is a mapping",
        NotAs("it speaks of the caller's memory, for which the kernel waits in any program"),
    ),
    Claim(
        "Owned buffers are not",
        By(&["tests/guide_claims::owned_buffers_are_not_copied"]),
    ),
    Claim(
        "Futures are `Send`",
        By(&["tests/executors::futures_are_send_and_static"]),
    ),
    Claim(
        "A test that stops",
        By(&["tests/paused::the_clock_stands_while_operations_are_in_flight"]),
    ),
    Claim(
        "What the system did not",
        By(&["tests/guide_claims::what_the_system_did_not_refuse_has_no_number"]),
    ),
    Claim("See `Error`", LINK),
    Claim(
        "Futures are not `UnwindSafe`",
        By(&["tests/tokio_signatures::types_are_unwind_safe_where_they_are_with_tokio"]),
    ),
    Claim(
        "`sync_all` and",
        By(&["tests/tokio_file/differences::syncing_tells_of_a_write_that_failed"]),
    ),
    Claim(
        "A write that was accepted and",
        By(&[
            "tests/tokio_file/differences::syncing_tells_of_a_write_that_failed",
            "tests/tokio_file/errors::the_error_of_a_write_comes_with_the_flush_and_only_once",
        ]),
    ),
    Claim(
        "`write` and `copy` of",
        By(&["tests/no_false_success::main"]),
    ),
    Claim("A `copy` leaves out", By(&["tests/no_false_success::main"])),
    Claim(
        "A `copy` of a file onto",
        By(&[
            "tests/tokio_file/differences::a_file_copied_onto_itself_is_kept",
            "tests/guide_claims::a_copy_onto_itself_is_refused_by_any_name",
        ]),
    ),
    Claim(
        "A `write` of a whole",
        By(&["tests/tokio_file/differences::a_whole_write_that_nobody_waits_for_is_cancelled"]),
    ),
    Claim(
        "The text of an error",
        By(&["tests/tokio_file/differences::errors_are_plain_unless_the_handle_names_them"]),
    ),
    Claim(
        "What a write has accepted is",
        By(&[
            "tests/background::an_accepted_write_is_done_when_the_runtime_has_ended",
            "tests/background::what_a_dropped_file_had_accepted_is_seen",
        ]),
    ),
    Claim(
        "An error is then logged",
        By(&["tests/background::what_fails_in_the_background_is_logged"]),
    ),
    Claim(
        "A file that grows past",
        By(&["tests/guide_claims::past_the_largest_size_is_an_error_of_threads"]),
    ),
    Claim(
        "A sync through a clone",
        By(&["tests/guide_claims::a_clone_s_sync_tells_of_the_cursor_s_write"]),
    ),
    Claim(
        "The first to tell",
        By(&["tests/guide_claims::a_clone_s_sync_tells_of_the_cursor_s_write"]),
    ),
    Claim(
        "`Debug` shows",
        By(&["tests/tokio_file/conversions::the_debug_output_names_the_type_and_the_descriptor"]),
    ),
    Claim("There is no Windows", NotAs("nothing runs there")),
    Claim(
        "What the kernel has in",
        By(&["tests/guide_claims::what_is_in_memory_is_ready_at_once_and_loops_yield"]),
    ),
    Claim(
        "Loops still yield",
        By(&["tests/guide_claims::what_is_in_memory_is_ready_at_once_and_loops_yield"]),
    ),
    Claim(
        "Threads are of this",
        By(&[
            "tests/guide_claims::the_threads_of_spawn_blocking_have_no_say",
            "tests/stalls::main",
        ]),
    ),
    Claim(
        "| ",
        NotAs("it leads to what is there besides, which has its own examples and tests"),
    ),
];

pub(crate) const CANCELLATION: &[Claim] = &[
    Claim("Cancellation", HEAD),
    Claim(
        "A future can be dropped",
        By(&["tests/lifetimes::ten_thousand_random_drops"]),
    ),
    Claim(
        "That is always sound",
        By(&["tests/lifetimes::ten_thousand_random_drops"]),
    ),
    Claim(
        "What the kernel may still",
        By(&[
            "tests/lifetimes::dropped_futures_leave_nothing_behind",
            "tests/stalls::main",
        ]),
    ),
    Claim(
        "A cancel is sent",
        By(&["tests/cancel::a_thousand_dropped_reads_are_all_cancelled"]),
    ),
    Claim(
        "What it can still stop",
        By(&["tests/cancel::a_thousand_dropped_reads_are_all_cancelled"]),
    ),
    Claim(
        "What it is in the middle",
        By(&["tests/dropped_futures::a_dropped_future_does_as_the_table_says"]),
    ),
    Claim(
        "So each function says",
        NotAs("it is in the text of each function, which comes from the table of operations"),
    ),
    Claim("| | means", HEAD),
    Claim(
        "| ",
        By(&["tests/dropped_futures::a_dropped_future_does_as_the_table_says"]),
    ),
    Claim(
        "A blocking call, where",
        By(&["tests/testing/deadlines::many_stuck_operations_hold_up_no_other"]),
    ),
    Claim(
        "And a write that was dropped",
        By(&["tests/file_state::a_later_write_does_not_overtake_a_detached_one"]),
    ),
    Claim(
        "Through another descriptor",
        NotAs("it says what is not promised"),
    ),
    Claim(
        "`OpExt` gives",
        By(&["tests/deadlines::a_read_that_waits_times_out"]),
    ),
    Claim(
        "An `async` block",
        By(&["tests/testing/deadlines::several_operations_share_a_budget"]),
    ),
    Claim(
        "`cancel_on` takes",
        By(&["tests/deadlines::a_token_cancels"]),
    ),
    Claim(
        "`tokio::time::timeout` works",
        By(&["tests/dropped_futures::a_dropped_future_does_as_the_table_says"]),
    ),
    Claim(
        "Operations have a limit",
        By(&[
            "tests/waits::a_read_of_what_waits_for_a_peer_has_no_default_limit",
            "tests/waits::the_open_of_a_fifo_has_no_default_limit",
            "tests/guide_claims::what_goes_through_a_tree_has_no_limit",
        ]),
    ),
    Claim(
        "`timeout(Duration::MAX)`",
        By(&["tests/testing/deadlines::the_default_of_the_handle_holds"]),
    ),
    Claim(
        "Dropping a `FileStream`",
        By(&["tests/streams::dropping_a_stream_cancels_what_is_on_its_way"]),
    ),
    Claim(
        "A copy that is dropped",
        By(&["tests/guide_claims::a_dropped_copy_leaves_what_was_there"]),
    ),
    Claim(
        "A runtime that is dropped",
        By(&["tests/lifetimes::an_operation_pending_when_its_runtime_is_dropped_ends"]),
    ),
    Claim(
        "To wait for the end",
        By(&["tests/lifetimes::shutdown_tells_what_it_leaves_behind"]),
    ),
    Claim("The kernel does not let", NotAs("it speaks of the kernel")),
    Claim("A multi-thread runtime", By(&["tests/no_freeze::main"])),
];

/// What is done to each function at each of its steps.
const TABLE: Shown = By(&["tests/dropped_futures::a_dropped_future_does_as_the_table_says"]);

pub(crate) const DROPPED_FUTURES: &[Claim] = &[
    Claim("What a dropped future leaves", HEAD),
    Claim(
        "In `tokio::fs` a call",
        By(&["tests/tokio_file/differences::a_whole_write_that_nobody_waits_for_is_cancelled"]),
    ),
    Claim("Here a future that is dropped", TABLE),
    Claim("What was still waiting", TABLE),
    Claim(
        "The same holds",
        By(&["tests/lifetimes::an_operation_pending_when_its_runtime_is_dropped_ends"]),
    ),
    Claim("| ", TABLE),
    Claim(
        "`create_dir_all` is one",
        By(&[
            "tests/dropped_futures::a_dropped_future_does_as_the_table_says",
            "tests/questions::folders_that_are_listed_and_removed",
        ]),
    ),
    Claim(
        "It and `remove_dir_all`",
        By(&["tests/differential::names_do_the_same_as_with_tokio"]),
    ),
    Claim(
        "Of the methods",
        By(&[
            "tests/tokio_file/pending::what_an_abandoned_read_brings_is_kept_for_a_smaller_one",
            "tests/questions::polls_that_are_given_up_lose_nothing",
        ]),
    ),
    Claim(
        "Give it a task",
        NotAs("it is tokio's promise that a task goes on"),
    ),
    Claim(
        "Write a file of another name",
        By(&["tests/dropped_futures::a_dropped_future_does_as_the_table_says"]),
    ),
    Claim(
        "`CopyFile::rename_into_place`",
        By(&["tests/guide_claims::a_dropped_copy_leaves_what_was_there"]),
    ),
];
