//! Threads that do what the watchdog finds to be done and may not do itself: it calls wakers and drops of other
//! people, any of which may block. One thread usually; another one where that is inside such a call.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Wake, Waker};

use crate::base::global::Global;
use crate::base::lock::{lock, wait_timeout};
use crate::limits;

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    threads: usize,
    idle: usize,
}

#[derive(Default)]
struct Helpers {
    queue: Mutex<Queue>,
    available: Condvar,
}

fn helpers() -> &'static Helpers {
    static HELPERS: Global<Helpers> = Global::new();
    HELPERS.get_or_make(Helpers::default)
}

/// Has it done soon, on a thread of ours; here where no thread can be had.
pub(crate) fn help(work: impl FnOnce() + Send + 'static) {
    helpers().push(Box::new(work));
}

impl Helpers {
    fn push(&'static self, work: Work) {
        let mut queue = lock(&self.queue);
        queue.work.push_back(work);
        if queue.idle >= queue.work.len() || queue.threads >= limits::HELPERS_MAX {
            drop(queue);
            return self.available.notify_one();
        }
        queue.threads += 1;
        drop(queue);
        let builder = std::thread::Builder::new()
            .name("tidegate-help".into())
            .stack_size(limits::FOREIGN_STACK_BYTES);
        if builder.spawn(|| self.work()).is_err() {
            self.do_without_thread();
        }
    }

    /// One that is there does it later.
    fn do_without_thread(&self) {
        let mut queue = lock(&self.queue);
        queue.threads -= 1;
        let stranded = match queue.threads {
            0 => std::mem::take(&mut queue.work),
            _ => VecDeque::new(),
        };
        drop(queue);
        for work in stranded {
            let _ = catch_unwind(AssertUnwindSafe(work));
        }
    }

    fn work(&self) {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(work) = queue.work.pop_front() {
                drop(queue);
                let _ = catch_unwind(AssertUnwindSafe(work));
                queue = lock(&self.queue);
                continue;
            }
            queue.idle += 1;
            let (guard, timed_out) = wait_timeout(&self.available, queue, limits::HELPER_IDLE);
            queue = guard;
            queue.idle -= 1;
            if timed_out && queue.work.is_empty() {
                break;
            }
        }
        queue.threads -= 1;
    }
}

/// Drives a future to its end, whoever drives the runtime that it comes from. Its polls must not block.
pub(crate) fn drive(future: impl Future<Output = ()> + Send + 'static) {
    Arc::new(Driven(Mutex::new(Some(Box::pin(future))))).wake();
}

struct Driven(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Wake for Driven {
    fn wake(self: Arc<Self>) {
        help(move || self.poll());
    }
}

impl Driven {
    fn poll(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        // Held over the poll: a wake meanwhile polls once more afterwards.
        let mut place = lock(&self.0);
        if let Some(future) = &mut *place {
            if future
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
            {
                *place = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    /// What blocks holds up nothing else, as far as there are threads.
    #[test]
    fn one_that_blocks_holds_up_no_other() {
        let helpers: &'static Helpers = Box::leak(Box::default());
        let (release, released) = channel::<()>();
        let (entered, inside) = channel();
        helpers.push(Box::new(move || {
            entered.send(()).unwrap();
            released.recv().unwrap_err();
        }));
        inside.recv().unwrap();
        for number in 0..20 {
            let (done, finished) = channel();
            helpers.push(Box::new(move || done.send(number).unwrap()));
            assert_eq!(finished.recv(), Ok(number));
            helpers.push(Box::new(|| panic!("the test panics on purpose")));
        }
        drop(release);
        assert!(lock(&helpers.queue).threads <= limits::HELPERS_MAX);
    }

    /// A future goes on whenever it is woken, on any thread.
    #[test]
    fn a_future_is_driven_to_its_end() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (done, finished) = channel();
        drive(async move { done.send(receiver.await).unwrap() });
        assert!(finished.try_recv().is_err());
        sender.send(7).unwrap();
        assert_eq!(finished.recv().unwrap(), Ok(7));
    }
}
