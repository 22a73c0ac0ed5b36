//! The runtime of a command that does something, also where threads are short.

use std::sync::RwLock;

use tokio::runtime::Builder;

/// Threads that the library needs: it watches, makes rings, and blocks.
const THREADS_ASIDE: usize = 4;

/// Enough for a thread that does nothing.
const PROBE_STACK_BYTES: usize = 64 << 10;

/// A runtime of as many threads as there are processors. Where so many cannot be had it has none of its own: to be
/// refused a thread is a panic to it.
pub(crate) fn runtime() -> Builder {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if can_have_threads(processors) {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(processors);
        builder
    } else {
        Builder::new_current_thread()
    }
}

/// Whether there may be so many threads more at a time, and a few for what blocks.
fn can_have_threads(count: usize) -> bool {
    let wait = RwLock::new(());
    std::thread::scope(|scope| {
        let held = wait.write();
        let could = (0..count + THREADS_ASIDE).all(|_| {
            let thread = std::thread::Builder::new().stack_size(PROBE_STACK_BYTES);
            thread.spawn_scoped(scope, || drop(wait.read())).is_ok()
        });
        drop(held);
        could
    })
}
