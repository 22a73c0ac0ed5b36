//! Puts Tidegate under tower-http's `ServeDir`, which does the HTTP: types, ranges, conditions, index pages.
//!
//! ```sh
//! cargo run --example tower_http_servedir
//! cargo run --example tower_http_servedir -- DIRECTORY 127.0.0.1:8080
//! ```
//!
//! `ServeDir` reads by `AsyncRead`, one read at a time and copied once; `axum_ranges` has the way without.

use std::io::{self, SeekFrom};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::serve::ListenerExt;
use tidegate::fs;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::ServeDir;
use tower_http::services::fs::{Backend, File};

type Later<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| ".".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".into());

    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // The last part of an answer does not wait for the client to acknowledge the one before it.
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    axum::serve(listener, app(directory.into())).await
}

/// Serves what is in the directory.
pub fn app(directory: PathBuf) -> Router {
    let files = ServeDir::with_backend(directory, Tidegate).with_buf_chunk_size(128 << 10);
    Router::new().fallback_service(files)
}

/// Where `ServeDir` gets its files.
#[derive(Clone)]
struct Tidegate;

impl Backend for Tidegate {
    type File = Opened;
    type Metadata = std::fs::Metadata;
    type OpenFuture = Later<'static, Opened>;
    type MetadataFuture = Later<'static, std::fs::Metadata>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        Box::pin(async move { fs::File::open(path).await.map(Opened) })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        Box::pin(fs::metadata(path))
    }
}

struct Opened(fs::File);

impl File for Opened {
    type Metadata = std::fs::Metadata;
    type MetadataFuture<'a> = Later<'a, std::fs::Metadata>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        Box::pin(self.0.metadata())
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncSeek for Opened {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.0).start_seek(to)
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.0).poll_complete(cx)
    }
}
