//! Who serves.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use axum::serve::ListenerExt;
use tidegate::fs::Dir;
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

#[path = "../../../../examples/axum_ranges.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program of its own")]
mod axum_ranges;
#[path = "../../../../examples/tower_http_servedir.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program of its own")]
mod tower_http_servedir;

/// A server of the files of a folder, on axum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// tower-http's `ServeDir` as it is, on `tokio::fs`.
    TokioFs,
    /// The same on tidegate, which is the example `tower_http_servedir`.
    ServeDir,
    /// Streams of tidegate as bodies, which is the example `axum_ranges`.
    Stream,
}

/// All of them; the others are compared with the first.
pub(crate) const SERVERS: [Server; 3] = [Server::TokioFs, Server::ServeDir, Server::Stream];

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Server::TokioFs => "tokio-fs",
            Server::ServeDir => "tidegate-servedir",
            Server::Stream => "tidegate-stream",
        })
    }
}

impl Server {
    /// Serves the folder until the runtime ends; says where.
    pub(crate) async fn start(self, dir: &Path, no_delay: bool) -> io::Result<SocketAddr> {
        let app = match self {
            Server::TokioFs => Router::new().fallback_service(ServeDir::new(dir)),
            Server::ServeDir => tower_http_servedir::app(dir.to_owned()),
            Server::Stream => axum_ranges::app(Dir::open(dir).await?),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let listener = listener.tap_io(move |socket| drop(socket.set_nodelay(no_delay)));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(address)
    }
}
