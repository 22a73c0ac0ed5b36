//! The process that the user started: it reports, passes on what the user wants, and ends when all is said.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Blocking;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, Interval, interval, sleep_until};

use super::message::{End, Message, STOP, Shows};
use super::output::{Err, OnTerminal, Out};
use super::process;
use crate::exit::Exit;
use crate::explain::with_advice;

/// How often it looks after the working process, besides being told by the kernel.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long a working process that has said all may take to end before it is named as kept.
const GRACE: Duration = Duration::from_millis(500);

/// The same where it knows of nothing that keeps it: a machine with much to do takes its time to let go of memory.
const GRACE_UNHELD: Duration = Duration::from_secs(5);

/// How long an interrupted working process may be silent. It gives itself up to ten seconds.
const STOP_BOUND: Duration = Duration::from_secs(15);

/// The same when it was told to leave at once.
const LEAVE_BOUND: Duration = Duration::from_secs(3);

/// What is read from the working process at a time.
const PIECE_BYTES: usize = 16 << 10;

/// The error is that nothing was begun, and why.
pub(super) fn supervise(shows: Shows) -> Result<Exit, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime could be started: {error}; raise RLIMIT_NOFILE"))?;
    let exit = runtime.block_on(async {
        match Supervisor::start(shows) {
            Ok(supervisor) => Ok(supervisor.run().await),
            Err(error) => Err(format!(
                "the process that does the work could not be started: {}",
                with_advice(&error)
            )),
        }
    });
    runtime.shutdown_background();
    exit
}

struct Supervisor {
    child: Child,
    status: Option<ExitStatus>,
    messages: Lines<BufReader<OwnedReadHalf>>,
    /// Whether more messages may come.
    listens: bool,
    orders: OwnedWriteHalf,
    said: Option<Receiver>,
    complained: Option<Receiver>,
    /// The begin of a line that has not come to its end.
    half: Vec<u8>,
    out: Out,
    err: Err,
    asked: Asked,
    changed: Signals,
    look: Interval,
    end: Option<End>,
    /// Signals that asked to stop.
    stops: u32,
    leave_at: Option<Instant>,
}

/// The signals that ask to stop.
struct Asked {
    interrupt: Signals,
    terminate: Signals,
    hang_up: Option<Signals>,
}

impl Asked {
    fn listen() -> io::Result<Asked> {
        // Asked before anything else listens.
        let hang_up = (!process::ignores_hang_up()).then(|| signal(SignalKind::hangup()));
        Ok(Asked {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: hang_up.transpose()?,
        })
    }

    async fn next(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hang_up => {}
        }
    }
}

impl Supervisor {
    fn start(shows: Shows) -> io::Result<Supervisor> {
        let asked = Asked::listen()?;
        let changed = signal(SignalKind::child())?;
        let on_terminal = OnTerminal::default();
        let (out, err) = (Out::start(on_terminal.clone())?, Err::start(on_terminal)?);
        let (ours, theirs) = Blocking::pair()?;
        ours.set_nonblocking(true)?;
        let (read, orders) = UnixStream::from_std(ours)?.into_split();
        let mut child = process::start(theirs, shows)?;
        let pipe = |end: Option<OwnedFd>| end.map(Receiver::from_owned_fd).transpose();
        Ok(Supervisor {
            said: pipe(child.stdout.take().map(OwnedFd::from))?,
            complained: pipe(child.stderr.take().map(OwnedFd::from))?,
            child,
            status: None,
            messages: BufReader::new(read).lines(),
            listens: true,
            orders,
            half: Vec::new(),
            out,
            err,
            asked,
            changed,
            look: interval(LOOK_EVERY),
            end: None,
            stops: 0,
            leave_at: None,
        })
    }

    async fn run(mut self) -> Exit {
        let (mut said, mut complained) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
        while !self.is_over() {
            let pieces = self.out.sender();
            tokio::select! {
                message = self.messages.next_line(), if self.listens => match message {
                    Ok(Some(line)) => self.hear(&line),
                    _ => self.listens = false,
                },
                said = read_with_room(&mut self.said, &pieces, &mut said) => {
                    if !said {
                        self.said = None;
                    }
                }
                count = read(&mut self.complained, &mut complained) => {
                    self.complain(&complained[..count]);
                }
                () = self.asked.next() => self.stop().await,
                _ = self.changed.recv() => self.look(),
                _ = self.look.tick() => self.look(),
                () = until(self.leave_at) => break,
            }
        }
        self.leave().await
    }

    /// Whether the working process has ended, and all that it said is here.
    fn is_over(&self) -> bool {
        let is_all_heard = self.end.is_some() || !self.listens;
        self.status.is_some() && is_all_heard && self.said.is_none() && self.complained.is_none()
    }

    fn hear(&mut self, line: &str) {
        match serde_json::from_str(line) {
            Ok(Message::Bar(bar)) => self.err.bar(bar),
            // One that there is no room for is followed by a newer one.
            Ok(Message::Line(line)) => {
                let _ = self.out.sender().try_send(format!("{line}\n").into_bytes());
            }
            Ok(Message::End(end)) => {
                let grace = if end.held.is_empty() {
                    GRACE_UNHELD
                } else {
                    GRACE
                };
                self.leave_at = Some(Instant::now() + grace);
                self.end = Some(end);
            }
            Err(_) => {}
        }
    }

    /// Passes on whole lines: the bar is drawn between them.
    fn complain(&mut self, text: &[u8]) {
        if text.is_empty() {
            self.complained = None;
            return;
        }
        self.half.extend_from_slice(text);
        let whole = match self.half.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            None if self.half.len() > PIECE_BYTES => self.half.len(),
            None => return,
        };
        self.err.text(&self.half[..whole]);
        self.half.drain(..whole);
    }

    /// Once: in good order. Twice: at once. Once more, or when all is said: now.
    async fn stop(&mut self) {
        self.stops += 1;
        let bound = match self.stops {
            1 if self.end.is_none() => STOP_BOUND,
            2 if self.end.is_none() => LEAVE_BOUND,
            _ => Duration::ZERO,
        };
        if self.end.is_none() || self.stops > 1 {
            self.leave_at = Some(Instant::now() + bound);
        }
        // It may have ended meanwhile.
        let _ = self.orders.write_all(&[STOP]).await;
    }

    fn look(&mut self) {
        if self.status.is_some() {
            return;
        }
        if let Ok(status @ Some(_)) = self.child.try_wait() {
            self.status = status;
            // What it left in the pipes is there. Who has inherited them from it is not waited for.
            self.leave_at.get_or_insert(Instant::now() + GRACE_UNHELD);
            return;
        }
        match process::state(self.child.id()) {
            // Its first thread has ended, and another one does not.
            Some('Z') if self.end.is_none() => {
                self.leave_at.get_or_insert(Instant::now() + GRACE);
            }
            // It stopped because this process was stopped, which is over.
            Some('T') => self.send(Signal::SIGCONT),
            _ => {}
        }
    }

    fn send(&self, signal: Signal) {
        // Not reaped, so that the number is still its own.
        let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
    }

    /// Says the rest, and leaves a working process behind that does not end.
    async fn leave(mut self) -> Exit {
        self.look();
        let kept = self.status.is_none();
        // One that has said all ends by itself: it may still have temporary files to remove.
        if kept && self.end.is_none() {
            self.send(Signal::SIGKILL);
        }
        if !self.half.is_empty() {
            self.half.push(b'\n');
            self.err.text(&std::mem::take(&mut self.half));
        }
        let exit = self.verdict(kept);
        // What it had said before it did not end, where the reader of stdout is slow.
        let mut piece = vec![0; PIECE_BYTES];
        while let Some(Ok(count @ 1..)) = self.said.as_ref().map(|said| said.try_read(&mut piece)) {
            let pieces = self.out.sender();
            tokio::select! {
                _ = pieces.send(piece[..count].to_vec()) => {}
                () = self.asked.next() => return Exit::Interrupted,
            }
        }
        let Supervisor {
            out,
            mut err,
            mut asked,
            ..
        } = self;
        let written = tokio::select! {
            written = out.end() => written,
            () = asked.next() => return Exit::Interrupted,
        };
        let exit = match written {
            Ok(()) => exit,
            Err(error) => {
                err.text(
                    format!("tidegate: what was to be printed could not be: {error}\n").as_bytes(),
                );
                if exit == Exit::Done {
                    Exit::Partial
                } else {
                    exit
                }
            }
        };
        tokio::select! {
            () = err.end() => exit,
            () = asked.next() => exit,
        }
    }

    /// The exit code, with the reason where it is not the working process's own.
    fn verdict(&mut self, kept: bool) -> Exit {
        let id = self.child.id();
        let mut lines = Vec::new();
        let exit = match self.end.take() {
            Some(end) => {
                lines.extend(held(end.held, kept.then_some(id)));
                Exit::of(end.code)
            }
            None if self.stops > 0 => {
                if kept {
                    lines.extend(held(Vec::new(), Some(id)));
                }
                Exit::Interrupted
            }
            None => {
                lines.push(self.death());
                if kept {
                    lines.extend(held(Vec::new(), Some(id)));
                }
                Exit::Fatal
            }
        };
        for line in lines {
            self.err.text(format!("{line}\n").as_bytes());
        }
        exit
    }

    /// How the working process came to an end that it did not announce.
    fn death(&self) -> String {
        let signal = self.status.and_then(|status| status.signal());
        let how = match (
            signal.map(Signal::try_from),
            self.status.and_then(|status| status.code()),
        ) {
            (Some(Ok(Signal::SIGKILL)), _) | (None, None) => {
                "was killed; was memory short?".to_owned()
            }
            (Some(Ok(signal)), _) => format!("was ended by {signal}"),
            (Some(Err(_)), _) => "was ended by a signal".to_owned(),
            (None, Some(code)) => {
                format!("ended with code {code}; please report it with the message above")
            }
        };
        format!(
            "tidegate: the process that did the work ({}) {how}. What has its name is whole; remove .tidegate-*.tmp, and do it again",
            self.child.id()
        )
    }
}

/// What is said of operations that the kernel still has, and of the process that it keeps for them.
fn held(operations: Vec<String>, process: Option<u32>) -> Vec<String> {
    let what = match operations.len() {
        0 if process.is_none() => return Vec::new(),
        0 => "an operation".to_owned(),
        1 => "an operation:".to_owned(),
        many => format!("{many} operations:"),
    };
    let mut lines = vec![format!("tidegate: the kernel still has {what}")];
    lines.extend(crate::explain::shortened(operations));
    if let Some(id) = process {
        lines.push(format!(
            "tidegate: it keeps process {id} for that, which ends when the server answers or is gone"
        ));
        if std::process::id() == 1 {
            lines.push(
                "tidegate: this is process 1 of its namespace, which the kernel keeps until all others have ended"
                    .to_owned(),
            );
        }
    }
    lines
}

/// Reads a piece and passes it on, when there is room for it; `false` at the end.
async fn read_with_room(
    from: &mut Option<Receiver>,
    to: &Sender<Vec<u8>>,
    buffer: &mut [u8],
) -> bool {
    let Some(pipe) = from else {
        return std::future::pending().await;
    };
    let Ok(room) = to.reserve().await else {
        return false;
    };
    match pipe.read(buffer).await {
        Ok(count @ 1..) => {
            room.send(buffer[..count].to_vec());
            true
        }
        _ => false,
    }
}

/// Reads a piece; nothing at the end.
async fn read(from: &mut Option<Receiver>, buffer: &mut [u8]) -> usize {
    match from {
        Some(pipe) => pipe.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
