//! What is tried of reads into buffers that the kernel picks.

use std::io::Read;
use std::os::unix::fs::FileExt;

use futures::TryStreamExt;
use tidegate::buf::BufGroup;
use tidegate::opcode::Kind;

use crate::beyond::{opened, pipe};
use crate::case::{Case, on_files};
use crate::files::{LAST, text};
use crate::tree::Place;

const KINDS: &[Kind] = &[Kind::ReadProvided, Kind::ReadProvidedStream];

pub(crate) fn cases(kind: Kind, place: &Place) -> Vec<Case> {
    match kind {
        Kind::ReadProvided => at_offsets(place),
        _ => streams(place),
    }
}

fn group(size: usize) -> BufGroup {
    BufGroup::builder().count(2).size(size).build().unwrap()
}

fn at_offsets(place: &Place) -> Vec<Case> {
    const OFFSETS: &[u64] = &[
        0,
        5,
        18,
        19,
        20,
        1 << 32,
        LAST - 10,
        LAST,
        LAST + 1,
        u64::MAX,
    ];
    let with = |size| OFFSETS.iter().map(move |&offset| (size, offset));
    let arguments: Vec<_> = [1, 7, 4096].into_iter().flat_map(with).collect();
    on_files(
        place,
        &[Kind::ReadProvided],
        &arguments,
        |file, (size, offset)| async move {
            let buf = file.read_provided_at(&group(size), offset).await?;
            text(buf.len(), &buf)
        },
        |file, (size, offset)| {
            let mut buf = vec![0; size];
            let count = file.read_at(&mut buf, offset)?;
            text(count, &buf[..count])
        },
    )
}

/// Files from their beginning, and pipes.
fn streams(place: &Place) -> Vec<Case> {
    let mut cases = on_files(
        place,
        KINDS,
        &[1, 7, 4096],
        |file, size| async move {
            let stream = file.read_provided_stream(&group(size));
            let bufs: Vec<_> = stream.map_ok(|buf| buf.freeze()).try_collect().await?;
            text(0, &bufs.concat())
        },
        |mut file, _| {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            text(0, &bytes)
        },
    );
    cases.extend(on_files(
        place,
        KINDS,
        &[1, 3, 100],
        |_, size| async move {
            let (output, input) = pipe();
            let stream = opened(&output, false)
                .await
                .read_provided_stream(&group(size));
            drop(input);
            let bufs: Vec<_> = stream.map_ok(|buf| buf.freeze()).try_collect().await?;
            text(0, &bufs.concat())
        },
        |_, _| {
            let (output, input) = pipe();
            drop(input);
            let mut bytes = Vec::new();
            std::fs::File::from(output).read_to_end(&mut bytes)?;
            text(0, &bytes)
        },
    ));
    cases
}
