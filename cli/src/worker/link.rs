//! The working process's side: orders come in by standard input, which is a socket, and the end goes out by it.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use tokio::signal::unix::{Signal as Caught, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::message::{Bar, End, Message, STOP, Shows};
use super::process;
use crate::exit::Exit;

/// How often the working process looks whether the reporting one has been stopped.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The connection to the process that reports.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    shows: Shows,
    control: Arc<UnixStream>,
    held: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
}

impl Link {
    pub(super) fn open(shows: Shows) -> io::Result<Link> {
        process::set_name();
        let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        // Fails where it is no socket.
        control.set_read_timeout(Some(LOOK_EVERY))?;
        Ok(Link {
            shows,
            control: Arc::new(control),
            held: Arc::default(),
            ended: Arc::default(),
        })
    }

    pub(crate) fn shows(&self) -> Shows {
        self.shows
    }

    /// Shows a bar. Waits while nobody takes it, so it is for a thread that has nothing else to do.
    pub(crate) fn bar(&self, bar: Bar) {
        self.send(&Message::Bar(bar));
    }

    /// Prints a line on stdout, unless nobody reads there. Waits as a bar does.
    pub(crate) fn line(&self, line: String) {
        self.send(&Message::Line(line));
    }

    /// What the kernel will still have at the end.
    pub(crate) fn hold(&self, operations: Vec<String>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = operations;
    }

    /// Lets the reporting process end, as that is all. Told once.
    pub(crate) fn end(&self, exit: Exit) {
        if self.ended.swap(true, Ordering::Relaxed) {
            return;
        }
        let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        let code = exit as u8;
        self.send(&Message::End(End { code, held }));
    }

    /// What the user wants, from now on. Called in a runtime.
    pub(crate) fn orders(&self) -> io::Result<Orders> {
        let (tell, orders) = unbounded_channel();
        let control = Arc::clone(&self.control);
        // The terminal signals all processes of the group: the reporting one says what it means.
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let deaf = kinds.into_iter().map(signal).collect::<io::Result<_>>()?;
        std::thread::Builder::new()
            .name("tidegate-orders".into())
            .spawn(move || hear(&control, &tell))?;
        Ok(Orders {
            orders,
            _deaf: deaf,
        })
    }

    fn send(&self, message: &Message) {
        let Ok(mut line) = serde_json::to_vec(message) else {
            return;
        };
        line.push(b'\n');
        // Without a reporting process there is nobody to tell.
        let _ = (&*self.control).write_all(&line);
    }
}

/// Hears orders until there is nobody any more who could give one.
fn hear(mut control: &UnixStream, tell: &UnboundedSender<()>) {
    let parent = parent_id();
    let mut order = [0];
    loop {
        match control.read(&mut order) {
            Ok(1) if order[0] == STOP => {
                if tell.send(()).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                // Who stops what they started means the work. It goes on with the reporting process.
                if parent_id() == parent && process::state(parent) == Some('T') {
                    let _ = raise(Signal::SIGSTOP);
                }
            }
            // A work that nobody sees does not go on.
            _ => {
                let _ = tell.send(());
                return;
            }
        }
    }
}

/// Wishes to stop: the first asks for an end in good order, the second for one at once.
#[derive(Debug)]
pub(crate) struct Orders {
    orders: UnboundedReceiver<()>,
    _deaf: Vec<Caught>,
}

impl Orders {
    pub(crate) async fn next(&mut self) {
        if self.orders.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
