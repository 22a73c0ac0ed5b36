//! Copies a file and shows how far it is.
//!
//! ```sh
//! cargo run --example copy_progress
//! cargo run --example copy_progress -- FROM TO
//! ```

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate::fs::{self, CopyFile, Preserve};

#[tokio::main]
async fn main() -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (from, to) = match (arguments.next(), arguments.next()) {
        (Some(from), Some(to)) => (from, to),
        _ => {
            let from = dir.path().join("from");
            fs::write(&from, vec![7; 64 << 20]).await?;
            (from, dir.path().join("to"))
        }
    };

    let total = fs::metadata(&from).await?.len();
    let progress = Arc::new(AtomicU64::new(0));
    let copy = CopyFile::new(&from, &to)
        .preserve(Preserve { times: true, ..Preserve::default() })
        // Under another name until it is whole, so that nobody ever sees half of it.
        .rename_into_place(true)
        .progress(progress.clone());

    let mut copy = pin!(copy.run());
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let copied = loop {
        tokio::select! {
            copied = &mut copy => break copied?,
            _ = tick.tick() => println!("{} of {total} bytes", progress.load(Ordering::Relaxed)),
        }
    };
    println!("copied {} bytes", copied.bytes);
    for warning in copied.warnings {
        println!("not carried over: {warning:?}");
    }
    Ok(())
}
