//! Runtimes of every sort: nested, local, shut down early, and with what panics inside.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::{Builder, Handle};

use super::fs::{self, File, OpenOptions};
use crate::random::kind;
use crate::{Answers, told};

async fn work(path: std::path::PathBuf) -> String {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    let mut file = options.open(&path).await.unwrap();
    file.write_all(b"text").await.unwrap();
    file.flush().await.unwrap();
    let mut text = String::new();
    File::open(&path)
        .await
        .unwrap()
        .read_to_string(&mut text)
        .await
        .unwrap();
    let length = fs::metadata(&path).await.unwrap().len();
    format!("{text} {length} {}", told(fs::remove_file(&path).await))
}

pub(crate) async fn sorts(root: &Path) -> Answers {
    let mut answers = Answers::default();
    let path = root.join("file");
    let local = tokio::task::LocalSet::new();
    let at = path.clone();
    let done = local.run_until(async move { tokio::task::spawn_local(work(at)).await.unwrap() });
    answers.say("in a local set", done.await);
    let (at, handle) = (path.clone(), Handle::current());
    let done = tokio::task::spawn_blocking(move || handle.block_on(work(at)));
    answers.say("in spawn_blocking", done.await.unwrap());
    if Handle::current().runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread {
        let at = path.clone();
        let done = tokio::spawn(async {
            tokio::task::block_in_place(|| Handle::current().block_on(work(at)))
        });
        answers.say("in block_in_place", done.await.unwrap());
    } else {
        answers.say("in block_in_place", work(path.clone()).await);
    }
    // A runtime of its own on another thread: with timers, without them, without any driver.
    for flavor in 0..4 {
        let at = path.clone();
        let thread = std::thread::spawn(move || {
            let mut builder = match flavor {
                0 => Builder::new_multi_thread(),
                _ => Builder::new_current_thread(),
            };
            match flavor {
                2 => builder.enable_time(),
                3 => &mut builder,
                _ => builder.enable_all(),
            };
            let runtime = builder.build().unwrap();
            let done = runtime.block_on(work(at));
            runtime.shutdown_timeout(Duration::from_secs(1));
            done
        });
        answers.say(
            format!("a runtime of its own, {flavor}"),
            thread.join().unwrap(),
        );
    }
    ended(root, &mut answers).await;
    answers
}

async fn ended(root: &Path, answers: &mut Answers) {
    let path = root.join("file");
    // A file goes from one runtime to another, which outlives the first.
    let first = Builder::new_current_thread().enable_all().build().unwrap();
    let at = path.clone();
    let thread = std::thread::spawn(move || {
        let mut file = first.block_on(async { File::create(&at).await.unwrap() });
        first.block_on(file.write_all(b"first ")).unwrap();
        drop(first);
        let second = Builder::new_current_thread().enable_all().build().unwrap();
        let wrote = second.block_on(async {
            let wrote = kind(file.write_all(b"second").await);
            (wrote, kind(file.flush().await))
        });
        (wrote, std::fs::read_to_string(&at).unwrap())
    });
    answers.say("from one to the other", thread.join().unwrap());
    // What was written is there, whichever way the runtime ends.
    for end in 0..3 {
        let at = path.clone();
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            let file = runtime.block_on(async {
                let mut file = File::create(&at).await.unwrap();
                file.write_all(b"accepted").await.unwrap();
                file.flush().await.unwrap();
                file
            });
            match end {
                0 => drop(runtime),
                1 => runtime.shutdown_background(),
                _ => runtime.shutdown_timeout(Duration::from_secs(5)),
            }
            drop(file);
            std::fs::read_to_string(&at).unwrap()
        });
        answers.say(format!("end {end}"), thread.join().unwrap());
    }
}

/// Panics as it is given a byte.
struct Panics;

impl AsyncWrite for Panics {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        panic!("on purpose")
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn caught(work: impl Future<Output = ()> + Send + 'static) -> bool {
    let done = tokio::spawn(work).await;
    done.is_err_and(|error| error.is_panic())
}

pub(crate) async fn panics(root: &Path) -> Answers {
    let mut answers = Answers::default();
    let path = root.join("file");
    std::fs::write(&path, "content").unwrap();
    let mut file = File::open(&path).await.unwrap();
    let at = path.clone();
    let into_what_panics = async move {
        let mut file = File::open(at).await.unwrap();
        let _ = tokio::io::copy(&mut file, &mut Panics).await;
    };
    answers.say("a sink", caught(into_what_panics).await);
    let at = path.clone();
    let with_a_file = async move {
        let mut file = OpenOptions::new().append(true).open(at).await.unwrap();
        file.write_all(b" and more").await.unwrap();
        file.flush().await.unwrap();
        panic!("on purpose");
    };
    answers.say("with a file", caught(with_a_file).await);
    answers.say("content", told(fs::read_to_string(&path).await));
    answers.say(
        "no size",
        caught(async {
            let mut file = File::open("/dev/null").await.unwrap();
            file.set_max_buf_size(0);
        })
        .await,
    );
    let mut text = String::new();
    answers.say("others go on", kind(file.read_to_string(&mut text).await));
    answers.say("text", text);
    answers
}
