//! The wish to end early.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shared by whoever may have the wish and by what is under way.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

impl Stop {
    /// Wakes what waits; whatever checks ends.
    pub fn stop(&self) {
        *self.flag() = true;
        self.shared.1.notify_all();
    }

    /// Whether to go on.
    ///
    /// # Errors
    ///
    /// `Interrupted` if not.
    pub fn check(&self) -> io::Result<()> {
        if *self.flag() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    /// Waits for a time, or until there is the wish.
    pub(crate) fn wait(&self, time: Duration) {
        let waited = self
            .shared
            .1
            .wait_timeout_while(self.flag(), time, |stopped| !*stopped);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn flag(&self) -> MutexGuard<'_, bool> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Stop;
    use std::time::Duration;

    #[test]
    fn a_wish_ends_the_waiting_of_others() {
        let stop = Stop::default();
        let other = stop.clone();
        let waiting = std::thread::spawn(move || other.wait(Duration::from_secs(600)));
        assert!(stop.check().is_ok());
        stop.stop();
        waiting.join().expect("it ends");
        assert_eq!(
            stop.check().unwrap_err().kind(),
            std::io::ErrorKind::Interrupted
        );
    }
}
