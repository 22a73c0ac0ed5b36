//! A copy that runs while paths of its source are held.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::common::{BOUND, tidegate};

/// The process, and what it has said so far. Its outputs do not end while the kernel holds it.
pub(crate) struct Running {
    child: Child,
    summary: Receiver<String>,
    said: Arc<Mutex<String>>,
}

impl Running {
    pub(crate) fn start(
        backend: &str,
        more: &[&str],
        source: &Path,
        destination: &Path,
    ) -> Running {
        let mut command = tidegate();
        command
            .args(["copy", "--json", "--backend", backend])
            .args(more)
            .args([source, destination]);
        Running::spawn(&mut command)
    }

    fn spawn(command: &mut Command) -> Running {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (tell, summary) = channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                text += &line;
                // The end of what is indented by serde.
                if line == "}" {
                    let _ = tell.send(std::mem::take(&mut text));
                }
            }
        });
        let said = Arc::new(Mutex::new(String::new()));
        let heard = said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                *heard.lock().unwrap_or_else(PoisonError::into_inner) += &format!("{line}\n");
            }
        });
        Running {
            child,
            summary,
            said,
        }
    }

    /// What it has said on stderr.
    pub(crate) fn said(&self) -> String {
        let said = self.said.lock();
        said.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn wait_for_words(&self, words: &str) {
        let begun = Instant::now();
        while !self.said().contains(words) {
            let said = self.said();
            assert!(begun.elapsed() < BOUND, "{words:?} is not said: {said}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn interrupt(&self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
    }

    /// The process that does the work, which it names where the kernel keeps it.
    pub(crate) fn kept(&self) -> Option<u32> {
        let said = self.said();
        let (_, named) = said.split_once("it keeps process ")?;
        named.split_once(' ')?.0.parse().ok()
    }

    /// What it prints at the end.
    pub(crate) fn summary(&self) -> Value {
        let text = self.summary.recv_timeout(BOUND);
        let text = text.unwrap_or_else(|_| panic!("it does not come to an end: {}", self.said()));
        serde_json::from_str(&text).unwrap()
    }

    /// Whether it has ended, after it had the time to.
    pub(crate) fn has_ended_within(&mut self, bound: Duration) -> bool {
        let begun = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap().is_some();
            if ended || begun.elapsed() >= bound {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for its end, and returns the exit code.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        assert!(
            self.has_ended_within(BOUND),
            "it never ends: {}",
            self.said()
        );
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    /// A test that failed leaves nobody behind. What is held ends with its hold.
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}
