//! Who asks: connections that stay open, each with one request at a time, all on one thread.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// The longest that a request is timed, in nanoseconds.
const LATENCY_MAX_NS: u64 = 60_000_000_000;
/// What a client takes from its socket at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// What is asked for.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) paths: Arc<[String]>,
    /// The length of each file.
    pub(crate) bytes: usize,
    pub(crate) connections: usize,
}

/// What came.
pub(crate) struct Served {
    pub(crate) count: u64,
    pub(crate) latencies: Histogram<u64>,
}

impl Load {
    /// Asks for so long, on a thread of its own.
    pub(crate) fn run_on_a_thread(&self, time: Duration) -> io::Result<Served> {
        let load = self.clone();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            LocalSet::new().block_on(&runtime, load.run(time))
        };
        thread::spawn(run).join().expect("a client panicked")
    }

    async fn run(self, time: Duration) -> io::Result<Served> {
        let (load, end) = (Rc::new(self), Instant::now() + time);
        let connect = |seed| tokio::task::spawn_local(connection(load.clone(), end, seed));
        let connections: Vec<_> = (0..load.connections as u64).map(connect).collect();
        let mut served = Served {
            count: 0,
            latencies: Histogram::new_with_max(LATENCY_MAX_NS, 3).expect("bounds that it has"),
        };
        for connection in connections {
            for latency in connection.await?? {
                served.count += 1;
                served.latencies.saturating_record(latency);
            }
        }
        Ok(served)
    }
}

/// The latencies of one connection's requests, in nanoseconds.
async fn connection(load: Rc<Load>, end: Instant, seed: u64) -> io::Result<Vec<u64>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut socket = TcpStream::connect(load.address).await?;
    socket.set_nodelay(true)?;
    let (mut buf, mut latencies) = (vec![0; BUFFER_BYTES], Vec::new());
    loop {
        let began = Instant::now();
        if began >= end {
            return Ok(latencies);
        }
        let path = &load.paths[random.usize(..load.paths.len())];
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        response(&mut socket, &mut buf, load.bytes).await?;
        latencies.push(began.elapsed().as_nanos() as u64);
    }
}

/// Takes a response, which has so long a body.
async fn response(socket: &mut TcpStream, buf: &mut [u8], bytes: usize) -> io::Result<()> {
    let mut filled = 0;
    let head = loop {
        let count = socket.read(&mut buf[filled..]).await?;
        filled += count;
        let head = buf[..filled]
            .windows(4)
            .position(|four| four == b"\r\n\r\n");
        match head {
            Some(head) => break head + 4,
            None if count == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => {}
        }
    };
    let length = format!("content-length: {bytes}\r\n");
    let has_length = std::str::from_utf8(&buf[..head])
        .is_ok_and(|text| text.starts_with("HTTP/1.1 200") && text.contains(&length));
    if !has_length {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut came = filled - head;
    while came < bytes {
        match socket.read(buf).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => came += count,
        }
    }
    Ok(())
}
