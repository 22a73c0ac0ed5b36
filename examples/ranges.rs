//! Reads many ranges of one file at the same time, as a reader of an indexed format does.
//!
//! ```sh
//! cargo run --example ranges
//! ```

use std::io;

use futures::future::try_join_all;
use tidegate::fs::{self, File};

const RECORD_BYTES: usize = 1 << 10;

#[tokio::main]
async fn main() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("records");
    let records: Vec<u8> = (0..4096u32)
        .flat_map(|n| vec![n as u8; RECORD_BYTES])
        .collect();
    fs::write(&path, &records).await?;

    let file = File::open(&path).await?;
    let wanted: Vec<u64> = (0..256).map(|n| n * 7 % 4096).collect();
    // A positional read borrows nothing, so that any number of them may be on their way.
    let reads = wanted
        .iter()
        .map(|n| file.read_exact_at(Vec::with_capacity(RECORD_BYTES), n * RECORD_BYTES as u64));
    let records = try_join_all(reads).await?;

    for (n, record) in wanted.iter().zip(&records) {
        assert!(record.iter().all(|&byte| byte == *n as u8));
    }
    println!(
        "{} records of {RECORD_BYTES} bytes, all as they should be",
        records.len()
    );
    Ok(())
}
