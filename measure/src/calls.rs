//! How many system calls the process makes, as the kernel counts them.
//!
//! While somebody counts, each call of each process of the machine takes some 100 ns more: so nothing that is timed is
//! counted, and there are turns for it.

use std::fs;
use std::io;

use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};

const FOLDERS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
const EVENT: &str = "events/raw_syscalls/sys_enter/id";

/// A counter for each thread that there is, and for those that it starts.
#[derive(Debug)]
pub struct Calls(Vec<Counter>);

impl Calls {
    /// Counts from now on.
    ///
    /// # Errors
    ///
    /// Where the kernel has no such event, or does not let this user count it.
    pub fn start() -> io::Result<Calls> {
        let event = Tracepoint::with_id(event_id()?);
        let mut counters = Vec::new();
        for thread in fs::read_dir("/proc/self/task")? {
            let Some(id) = thread?.file_name().to_str().and_then(|id| id.parse().ok()) else {
                continue;
            };
            let mut builder = Builder::new(event);
            let builder = builder.observe_pid(id).inherit(true).include_kernel();
            let mut counter = match builder.build() {
                Ok(counter) => counter,
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => continue,
                Err(error) => return Err(error),
            };
            counter.enable()?;
            counters.push(counter);
        }
        Ok(Calls(counters))
    }

    /// How many there were, of threads that ended as well.
    ///
    /// # Errors
    ///
    /// Those of `read(2)`.
    pub fn count(&mut self) -> io::Result<u64> {
        self.0.iter_mut().map(Counter::read).sum()
    }
}

fn event_id() -> io::Result<u64> {
    let read = |folder| fs::read_to_string(format!("{folder}/{EVENT}"));
    let text = FOLDERS.into_iter().map(read).reduce(Result::or);
    let text = text.ok_or(io::ErrorKind::NotFound)??;
    let id = text.trim().parse();
    id.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{text} is no event")))
}

#[cfg(test)]
mod tests {
    use super::Calls;

    /// Also those of a thread that was started later, and has ended.
    #[test]
    fn calls_of_all_threads_are_counted() {
        let mut calls = match Calls::start() {
            Ok(calls) => calls,
            Err(error) => {
                println!("skip: calls_of_all_threads_are_counted: {error}");
                return;
            }
        };
        let work = || (0..1000).for_each(|_| drop(std::fs::metadata("/")));
        work();
        std::thread::spawn(work).join().expect("it ends");
        let count = calls.count().expect("a number");
        assert!(count >= 2000, "{count}");
    }
}
