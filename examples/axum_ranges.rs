//! Serves the files of a directory by axum: whole, or one range of them, with a bounded memory.
//!
//! ```sh
//! cargo run --example axum_ranges
//! cargo run --example axum_ranges -- DIRECTORY 127.0.0.1:8080
//! curl -r 100-199 http://127.0.0.1:8080/README.md
//! ```
//!
//! A file is a stream of chunks from the kernel to the socket: what a slow client has not taken is not
//! read. A client that goes away drops the stream, and what it has on its way is cancelled.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::get;
use axum::serve::ListenerExt;
use tidegate::fs::{Dir, File, OpenOptions, Resolve};

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| ".".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".into());

    let app = app(Dir::open(&directory).await?);
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // The last part of an answer does not wait for the client to acknowledge the one before it.
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    axum::serve(listener, app).await
}

/// Serves what is in the directory.
pub fn app(root: Dir) -> Router {
    // Answers HEAD as well: the body is dropped then, before anything was read.
    let app = Router::new().route("/{*path}", get(serve));
    app.with_state(Arc::new(root))
}

async fn serve(
    State(root): State<Arc<Dir>>,
    UrlPath(path): UrlPath<String>,
    headers: HeaderMap,
) -> Response<Body> {
    match respond(&root, &path, &headers).await {
        Ok(response) => response,
        Err(error) => {
            let status = match error.kind() {
                // The last is what a way out of the directory is answered with.
                io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::CrossesDevices => StatusCode::NOT_FOUND,
                io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            plain(status)
        }
    }
}

async fn respond(root: &Dir, path: &str, headers: &HeaderMap) -> io::Result<Response<Body>> {
    let file = open(root, path).await?;
    let metadata = file.metadata().await?;
    if !metadata.is_file() {
        return Ok(plain(StatusCode::NOT_FOUND));
    }
    let length = metadata.len();
    let modified = metadata
        .modified()?
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let etag = format!("\"{length:x}-{:x}\"", modified.as_nanos());

    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let response = Response::builder()
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, &etag);
    if text(header::IF_NONE_MATCH) == Some(&etag) {
        return finish(response.status(StatusCode::NOT_MODIFIED), Body::empty());
    }
    // A range of another version of the file is of no use to who has the rest of that version.
    let same_version = text(header::IF_RANGE).is_none_or(|version| version == etag);
    let wanted = text(header::RANGE).filter(|_| same_version);
    let (status, range) = match wanted.map_or(Wanted::Whole, |wanted| parse(wanted, length)) {
        Wanted::Whole => (StatusCode::OK, 0..length),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => {
            let response = response
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, format!("bytes */{length}"));
            return finish(response, Body::empty());
        }
    };
    let mut response = response
        .status(status)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_LENGTH, range.end - range.start);
    if status == StatusCode::PARTIAL_CONTENT {
        let part = format!("bytes {}-{}/{length}", range.start, range.end - 1);
        response = response.header(header::CONTENT_RANGE, part);
    }
    finish(response, Body::new(file.stream(range)))
}

/// Opens a file of the directory. The kernel sees to it that the way does not lead out, by `..`, by a link or
/// by an absolute path, in one step with the open, so that nobody can change the way in between. It takes
/// Linux 5.6; elsewhere it is an error, and nothing is served.
async fn open(root: &Dir, path: &str) -> io::Result<File> {
    // Does not wait for the other end of a pipe.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    root.open_file_within(path, &options, Resolve::new().beneath())
        .await
}

/// What of the file was asked for.
enum Wanted {
    /// All of it; also where several ranges are asked for, or none that can be understood.
    Whole,
    Part(Range<u64>),
    /// A range that the file does not have.
    Nothing,
}

/// `bytes=FROM-TO`, `bytes=FROM-` or `bytes=-COUNT`.
fn parse(wanted: &str, length: u64) -> Wanted {
    let number = |text: &str| -> Option<Option<u64>> {
        match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true if text.is_empty() => Some(None),
            // A number that does not fit is beyond the end of any file.
            true => Some(Some(text.parse().unwrap_or(u64::MAX))),
            false => None,
        }
    };
    let range = wanted.strip_prefix("bytes=").and_then(|range| {
        let (from, to) = range.trim().split_once('-')?;
        Some((number(from)?, number(to)?))
    });
    match range {
        Some((Some(from), Some(to))) if from > to => Wanted::Whole,
        Some((Some(from), _)) if from >= length => Wanted::Nothing,
        Some((Some(from), Some(to))) => Wanted::Part(from..to.saturating_add(1).min(length)),
        Some((Some(from), None)) => Wanted::Part(from..length),
        Some((None, Some(count))) if count == 0 || length == 0 => Wanted::Nothing,
        Some((None, Some(count))) => Wanted::Part(length.saturating_sub(count)..length),
        Some((None, None)) | None => Wanted::Whole,
    }
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::from(status.to_string()));
    *response.status_mut() = status;
    response
}

fn finish(response: axum::http::response::Builder, body: Body) -> io::Result<Response<Body>> {
    response.body(body).map_err(io::Error::other)
}
