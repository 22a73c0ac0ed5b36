//! The question whether a mount answers, on a thread that may never come back.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use super::Mount;
use crate::base::lock::lock;
use crate::limits;
use crate::sys::mounted;

/// Who wants to know.
pub(crate) trait Asker: Send + Sync {
    /// The mount has answered, with its attributes or with an error of its own.
    fn answered(&self);
    /// The question came to nothing, which says nothing of the mount.
    fn came_to_nothing(&self);
}

/// Who waits for the answer; `None` while nothing is asked.
#[derive(Default)]
pub(super) struct Question(Mutex<Option<Vec<Weak<dyn Asker>>>>);

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = lock(&self.0).is_some();
        f.debug_struct("Question").field("asked", &asked).finish()
    }
}

impl Mount {
    /// Asks the mount for the attributes of its root, and tells when there is an answer. Whoever asks while
    /// another does waits for the same answer: a dead mount holds one thread of the process, no more.
    ///
    /// # Errors
    ///
    /// Nothing is asked where the mount point is not known, and where no thread can be started.
    pub(crate) fn ask(self: &Arc<Self>, asker: Weak<dyn Asker>) -> io::Result<()> {
        let point = self.point().ok_or(io::ErrorKind::NotFound)?;
        let mut waiting = lock(&self.question.0);
        if let Some(waiting) = &mut *waiting {
            // The handles of runtimes that are gone want no answer.
            waiting.retain(|asker| asker.strong_count() > 0);
            waiting.push(asker);
            return Ok(());
        }
        let mount = self.clone();
        std::thread::Builder::new()
            .name("tidegate-probe".into())
            .stack_size(limits::FOREIGN_STACK_BYTES)
            .spawn(move || mount.wait_for_answer(point))?;
        *waiting = Some(vec![asker]);
        Ok(())
    }

    fn wait_for_answer(&self, point: PathBuf) {
        let answer = mounted::ask(&self.current_point().unwrap_or(point));
        let failed_here = answer.is_err_and(|error| error.kind() == io::ErrorKind::OutOfMemory);
        let waiting = lock(&self.question.0).take().unwrap_or_default();
        for asker in waiting.iter().filter_map(Weak::upgrade) {
            // Any other error is an answer: a server that was killed gives one at once, to operations too.
            let tell = || match failed_here {
                true => asker.came_to_nothing(),
                false => asker.answered(),
            };
            // A log that panics takes no other asker with it.
            let _ = catch_unwind(AssertUnwindSafe(tell));
        }
    }

    /// Where it is mounted now: mounts can be moved.
    #[cfg(target_os = "linux")]
    fn current_point(&self) -> Option<PathBuf> {
        let described = crate::sys::linux::mount::describe(self.id).ok()?;
        Some(described.mount_point)
    }

    #[cfg(not(target_os = "linux"))]
    fn current_point(&self) -> Option<PathBuf> {
        None
    }
}
