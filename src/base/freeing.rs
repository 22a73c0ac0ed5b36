//! Letting go of large memory on a thread: unmapping and unpinning takes a quarter of a second for a gibibyte, which no
//! polling thread has.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::global::Global;
use super::lock::lock;
use crate::limits;

type Thing = Box<dyn Any + Send>;

#[derive(Default)]
struct Freeing {
    /// Nothing is here that is not to be gone soon, so that it needs no bound.
    things: Vec<Thing>,
    /// Whether there is a thread.
    is_alive: bool,
}

fn freeing() -> &'static Mutex<Freeing> {
    static FREEING: Global<Mutex<Freeing>> = Global::new();
    FREEING.get_or_make(Mutex::default)
}

/// Drops what has so many bytes: on a thread if they are many, and there can be one.
pub(crate) fn free(bytes: usize, thing: impl Any + Send) {
    if bytes < limits::FREED_ON_A_THREAD_BYTES {
        return drop(thing);
    }
    let mut freeing = lock(self::freeing());
    freeing.things.push(Box::new(thing));
    if std::mem::replace(&mut freeing.is_alive, true) {
        return;
    }
    drop(freeing);
    let builder = std::thread::Builder::new()
        .name("tidegate-free".into())
        .stack_size(limits::THREAD_STACK_BYTES);
    if builder.spawn(run).is_err() {
        run();
    }
}

fn run() {
    loop {
        let mut freeing = lock(self::freeing());
        let things = std::mem::take(&mut freeing.things);
        if things.is_empty() {
            freeing.is_alive = false;
            return;
        }
        drop(freeing);
        for thing in things {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(thing)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::ThreadId;

    struct Tells(Sender<ThreadId>);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(std::thread::current().id());
        }
    }

    #[test]
    fn only_much_is_freed_elsewhere() {
        let (tell, hear) = channel();
        let here = std::thread::current().id();
        free(4096, Tells(tell.clone()));
        assert_eq!(hear.recv().unwrap(), here);
        free(1 << 30, Tells(tell));
        assert_ne!(hear.recv().unwrap(), here);
    }
}
