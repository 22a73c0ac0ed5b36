//! Reads many ranges of one file at the same time, as a reader of an indexed format does.
//!
//! ```sh
//! cargo run --example ranges
//! ```

use std::io;

use tidegate::fs::{self, File};

const RECORD_BYTES: u64 = 1 << 10;

#[tokio::main]
async fn main() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("records");
    let records: Vec<u8> = (0..4096u32)
        .flat_map(|n| [n as u8; RECORD_BYTES as usize])
        .collect();
    fs::write(&path, &records).await?;

    let file = File::open(&path).await?;
    let wanted: Vec<u64> = (0..256).map(|n| n * 7 % 4096).collect();
    // One call: ranges that are close together are read as one, the others several at a time.
    let range = |n: &u64| n * RECORD_BYTES..(n + 1) * RECORD_BYTES;
    let ranges: Vec<_> = wanted.iter().map(range).collect();
    let records = file.read_ranges(&ranges).await?;

    for (n, record) in wanted.iter().zip(&records) {
        assert!(record.iter().all(|&byte| byte == *n as u8));
    }
    println!(
        "{} records of {RECORD_BYTES} bytes, all as they should be",
        records.len()
    );
    Ok(())
}
