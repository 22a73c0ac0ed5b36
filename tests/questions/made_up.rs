//! Files that the kernel makes up as they are read: whole, in pieces, by lines, and from other places.

use std::io::{BufRead, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, BufReader};

use super::fs::{self, File};
use crate::Answers;
use crate::random::{brief, kind};

/// Where they are, on every machine. None waits for anything, or takes what it shows.
const PLACES: [&str; 5] = [
    "/proc/sys/kernel",
    "/proc/sys/net/core",
    "/proc/sys/vm",
    "/sys/kernel/mm/transparent_hugepage",
    "/sys/class/net/lo",
];

/// What is there, some levels deep.
fn below(place: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(listed) = std::fs::read_dir(place) else {
        return;
    };
    let mut paths: Vec<_> = listed.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => found.push(path),
            Ok(metadata) if metadata.is_dir() && depth > 0 => below(&path, depth - 1, found),
            _ => {}
        }
    }
}

const PIECE: usize = 7;
const MOST: usize = 4000;

fn by_std(path: &Path) -> [String; 5] {
    let open = || std::fs::File::open(path);
    let small = || {
        let (mut file, mut all, mut buf) = (open()?, Vec::new(), [0; PIECE]);
        loop {
            let count = file.read(&mut buf)?;
            if count == 0 || all.len() > MOST {
                break Ok(brief(&all));
            }
            all.extend(&buf[..count]);
        }
    };
    let lines = || {
        let lines = std::io::BufReader::new(open()?).lines();
        Ok(lines.collect::<std::io::Result<Vec<_>>>()?.len())
    };
    let places = || {
        let (mut file, mut buf) = (open()?, [0; 10]);
        let first = file.read(&mut buf)?;
        file.seek(SeekFrom::Start(2))?;
        let again = file.read(&mut buf)?;
        Ok((first, again, file.stream_position()?, buf))
    };
    [
        kind(std::fs::read(path).map(|bytes| brief(&bytes))),
        kind(std::fs::read_to_string(path).map(|text| text.len())),
        kind(small()),
        kind(lines()),
        kind(places()),
    ]
}

async fn ways(path: &Path) -> [String; 5] {
    let open = || File::open(path);
    let small = async {
        let (mut file, mut all, mut buf) = (open().await?, Vec::new(), [0; PIECE]);
        loop {
            let count = file.read(&mut buf).await?;
            if count == 0 || all.len() > MOST {
                break Ok(brief(&all));
            }
            all.extend(&buf[..count]);
        }
    };
    let lines = async {
        let mut lines = BufReader::new(open().await?).lines();
        let mut count = 0;
        while lines.next_line().await?.is_some() {
            count += 1;
        }
        Ok(count)
    };
    let places = async {
        let (mut file, mut buf) = (open().await?, [0; 10]);
        let first = file.read(&mut buf).await?;
        file.seek(SeekFrom::Start(2)).await?;
        let again = file.read(&mut buf).await?;
        Ok((first, again, file.stream_position().await?, buf))
    };
    [
        kind(fs::read(path).await.map(|bytes| brief(&bytes))),
        kind(fs::read_to_string(path).await.map(|text| text.len())),
        kind(small.await),
        kind(lines.await),
        kind(places.await),
    ]
}

pub(crate) async fn files(_: &Path) -> Answers {
    let mut answers = Answers::default();
    let mut found = Vec::new();
    for place in PLACES {
        below(Path::new(place), 2, &mut found);
    }
    for path in found {
        let before = by_std(&path);
        let came = ways(&path).await;
        let after = by_std(&path);
        for (at, what) in ["whole", "text", "pieces", "lines", "places"]
            .iter()
            .enumerate()
        {
            // What changed meanwhile says nothing.
            let is_as_before = before[at] != after[at] || came[at] == before[at];
            let answer = if is_as_before {
                "as with std"
            } else {
                &came[at]
            };
            answers.say(format!("{what} of {}", path.display()), answer);
        }
    }
    answers
}
