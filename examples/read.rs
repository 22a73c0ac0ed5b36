//! Reads a file in the three usual ways, and says which way each read took.
//!
//! ```sh
//! cargo run --example read
//! cargo run --example read -- PATH
//! ```

use futures::TryStreamExt;
use tidegate::Handle;
use tidegate::fs::{self, File};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1);
    let path = path.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/README.md").into());

    let whole = fs::read(&path).await?;
    println!("{path}: {} bytes", whole.len());

    // A buffer goes in by value and comes back with the result.
    let file = File::open(&path).await?;
    let (count, buf) = file.read_at(Vec::with_capacity(16), 0).await?;
    println!(
        "the first {count} of them: {:?}",
        String::from_utf8_lossy(&buf)
    );

    // In chunks, with read-ahead, however long the file is.
    let (mut chunks, mut bytes) = (0, 0);
    let mut stream = file.stream(..);
    while let Some(chunk) = stream.try_next().await? {
        chunks += 1;
        bytes += chunk.len();
    }
    println!("as a stream: {bytes} bytes in {chunks} chunks");

    for op in Handle::current()?.stats().ops() {
        println!(
            "{:>12}: {} at the poll, {} by ring, {} on blocking threads",
            op.row.name,
            op.at_poll,
            op.worker_ring + op.lane_ring,
            op.pool
        );
    }
    Ok(())
}
