//! Gives up waiting for a read that does not end: of a pipe into which nobody writes.
//!
//! ```sh
//! cargo run --example timeout
//! ```
//!
//! `tokio::time::timeout` drops the future when the time is over. That is sound, and this is all that it
//! says: a cancel is sent to the kernel, which may or may not be able to stop; until it reports the end,
//! the buffer and the file stay with the driver, and nobody gets them back. A read has no effect then. A
//! write may have been done in part, or may be done later: see *Cancel safety* in the documentation of
//! each function.

use std::time::{Duration, Instant};

use tidegate::Handle;
use tidegate::fs::{self, OpenOptions};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("pipe");
    fs::make_fifo(&path, 0o600).await?;
    // Open for both, so that the read waits instead of finding the end.
    let pipe = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .await?;

    let (limit, start) = (Duration::from_millis(100), Instant::now());
    let read = pipe.read_at(Vec::with_capacity(4096), 0);
    match tokio::time::timeout(limit, read).await {
        Ok(read) => println!("read {} bytes", read?.0),
        Err(_) => println!("gave up after {} ms", start.elapsed().as_millis()),
    }

    // With a ring the kernel gives the read back at once. A blocking thread stays in it until somebody
    // writes; the watchdog sees to it that others do not have to wait for the thread.
    let handle = Handle::current()?;
    let until = Instant::now() + Duration::from_secs(1);
    while handle.stats().in_flight > 0 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    match handle.stats().in_flight {
        0 => println!("the kernel has let go of it"),
        left => println!("{left} operation is still with the kernel"),
    }
    Ok(())
}
