//! Stdout and stderr of the reporting process, each written by a thread that may wait for its reader.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;

use super::message::Bar;

/// Pieces that wait to be written. What the working process says on stdout then waits in its pipe, and of
/// what it says on stderr later pieces are left out and counted.
const PIECES_MAX: usize = 256;

/// Draws per second; more only cost.
const DRAWS_PER_SECOND: u8 = 10;

/// Text on its way to stdout.
#[derive(Debug)]
pub(super) struct Out {
    pieces: Sender<Vec<u8>>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Out {
    /// The bar ends where text comes to the same terminal.
    pub(super) fn start(on_terminal: OnTerminal) -> io::Result<Out> {
        let (pieces, mut taken) = channel::<Vec<u8>>(PIECES_MAX);
        let (tell, ended) = oneshot::channel();
        let write = move || {
            let is_terminal = io::stdout().is_terminal();
            let mut written = Ok(());
            while let Some(piece) = taken.blocking_recv() {
                if is_terminal {
                    on_terminal.end();
                }
                // What cannot be written is still taken: the work does not wait for it.
                if written.is_ok() {
                    let mut out = io::stdout().lock();
                    written = out.write_all(&piece).and_then(|()| out.flush());
                }
            }
            let _ = tell.send(written);
        };
        Builder::new().name("tidegate-out".into()).spawn(write)?;
        Ok(Out { pieces, ended })
    }

    pub(super) fn sender(&self) -> Sender<Vec<u8>> {
        self.pieces.clone()
    }

    /// Waits for its reader, and says whether all of it was written.
    pub(super) async fn end(self) -> io::Result<()> {
        drop(self.pieces);
        self.ended.await.unwrap_or(Ok(()))
    }
}

/// The bar, while there is one. It is drawn over the lines that it was drawn on before, so that what others write there
/// meanwhile would be lost.
#[derive(Clone, Debug, Default)]
pub(super) struct OnTerminal(Arc<Mutex<Drawn>>);

#[derive(Debug, Default)]
struct Drawn {
    bar: Option<ProgressBar>,
    is_over: bool,
}

impl OnTerminal {
    fn with<T>(&self, f: impl FnOnce(&mut Drawn) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// No bar any more.
    fn end(&self) {
        self.with(|drawn| {
            drawn.is_over = true;
            if let Some(bar) = drawn.bar.take() {
                bar.finish_and_clear();
            }
        });
    }
}

#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Bar(Bar),
}

/// Text, and a bar, on their way to stderr.
#[derive(Debug)]
pub(super) struct Err {
    pieces: Sender<Piece>,
    ended: oneshot::Receiver<()>,
    /// Lines that were left out since the last one that was not.
    missing: u64,
}

impl Err {
    pub(super) fn start(on_terminal: OnTerminal) -> io::Result<Err> {
        let (pieces, mut taken) = channel(PIECES_MAX);
        let (tell, ended) = oneshot::channel();
        let write = move || {
            let mut screen = Screen {
                on_terminal,
                failed: false,
            };
            while let Some(piece) = taken.blocking_recv() {
                screen.show(piece);
            }
            screen.on_terminal.end();
            let _ = tell.send(());
        };
        Builder::new().name("tidegate-err".into()).spawn(write)?;
        Ok(Err {
            pieces,
            ended,
            missing: 0,
        })
    }

    /// Lines that are left out where nobody has read earlier ones.
    pub(super) fn text(&mut self, lines: &[u8]) {
        let mut text = Vec::new();
        if self.missing > 0 {
            let missing = format!(
                "tidegate: {} lines are missing here: nobody read them in time\n",
                self.missing
            );
            text.extend_from_slice(missing.as_bytes());
        }
        text.extend_from_slice(lines);
        match self.pieces.try_send(Piece::Text(text)) {
            Ok(()) => self.missing = 0,
            Err(_) => self.missing += lines.iter().filter(|&&byte| byte == b'\n').count() as u64,
        }
    }

    /// A newer one comes if this one is lost.
    pub(super) fn bar(&self, bar: Bar) {
        let _ = self.pieces.try_send(Piece::Bar(bar));
    }

    /// Waits for its reader.
    pub(super) async fn end(mut self) {
        if self.missing > 0 {
            // Waits for room.
            let missing = std::mem::take(&mut self.missing);
            let text =
                format!("tidegate: {missing} lines are missing here: nobody read them in time\n");
            let _ = self.pieces.send(Piece::Text(text.into_bytes())).await;
        }
        drop(self.pieces);
        let _ = self.ended.await;
    }
}

/// Stderr, which may be a terminal with a bar.
#[derive(Debug)]
struct Screen {
    on_terminal: OnTerminal,
    failed: bool,
}

impl Screen {
    fn show(&mut self, piece: Piece) {
        match piece {
            Piece::Text(text) => {
                let failed = &mut self.failed;
                let mut print = || {
                    if !*failed {
                        *failed = io::stderr().lock().write_all(&text).is_err();
                    }
                };
                self.on_terminal.with(|drawn| match &drawn.bar {
                    Some(bar) => bar.suspend(print),
                    None => print(),
                });
            }
            Piece::Bar(shown) => self.on_terminal.with(|drawn| drawn.draw(shown)),
        }
    }
}

impl Drawn {
    fn draw(&mut self, shown: Bar) {
        if self.is_over {
            return;
        }
        let template = match (shown.length, shown.in_bytes) {
            (Some(_), true) => {
                "{prefix} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left\n{wide_msg}"
            }
            (None, true) => "{prefix} {bytes} {bytes_per_sec}, counting\n{wide_msg}",
            (Some(_), false) => "[{bar:24}] {pos}/{len}  {wide_msg}",
            // How much there is in all will never be known.
            (None, false) => "{prefix}\n{wide_msg}",
        };
        let bar = self.bar.get_or_insert_with(|| {
            let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
            ProgressBar::with_draw_target(Some(0), target)
        });
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        if let Some(length) = shown.length {
            bar.set_length(length);
        }
        bar.set_prefix(shown.prefix);
        bar.set_message(shown.message);
        bar.set_position(shown.position);
        bar.tick();
    }
}
