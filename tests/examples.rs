//! The examples run, and the servers among them give the right bytes with a bounded memory.
//!
//! `cargo test` builds the examples with the rest. For this file alone: `cargo build --examples` first.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The length of the file that is served.
const LENGTH: u64 = 1 << 30;

/// What a server may ever have in memory, of which its code and its threads are the most.
const SERVER_BYTES_MAX: u64 = 64 << 20;

/// An example, where cargo has put it: beside the folder of the tests.
fn example(name: &str) -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.extend(["examples", name]);
    assert!(
        path.exists(),
        "{} is not there: cargo build --examples",
        path.display()
    );
    Command::new(path)
}

fn output_of(name: &str) -> String {
    let output = example(name).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{name}: {}\n{out}{err}",
        output.status
    );
    out
}

#[test]
fn examples_without_a_server() {
    let expected = [
        ("copy_progress", "copied 67108864 bytes"),
        ("incremental", " unchanged, 0 read, 0 gone, 0 missed"),
        ("ranges", "all as they should be"),
        ("read", "as a stream: "),
        ("timeout", "gave up after"),
        ("walk", " files, "),
    ];
    for (name, text) in expected {
        let output = output_of(name);
        assert!(output.contains(text), "{name}: {output}");
    }
}

/// A server in a process of its own, ended with its guard.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(name: &str, directory: &Path) -> Server {
        let mut command = example(name);
        let mut child = command
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        let mut server = Server {
            child,
            address: String::new(),
        };
        BufReader::new(out).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://");
        server.address = address
            .unwrap_or_else(|| panic!("{name}: {line}"))
            .to_owned();
        server
    }

    fn curl(&self, path: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--noproxy", "*", "--path-as-is"])
            .args(["--max-time", "100"])
            .args(arguments)
            .arg(format!("http://{}{path}", self.address))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }

    /// Status and headers, in small letters, and body.
    fn get(&self, path: &str, arguments: &[&str]) -> (String, Vec<u8>) {
        let output = self
            .curl(path, &[&["--include"], arguments].concat())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{path} {arguments:?}: {}",
            output.status
        );
        let end = output
            .stdout
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n");
        let (head, body) = output.stdout.split_at(end.unwrap() + 4);
        (String::from_utf8_lossy(head).to_lowercase(), body.to_vec())
    }

    /// The most memory that it ever had, in bytes.
    fn memory_max(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kib << 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of mostly holes, with bytes that say where they are around every place of interest.
fn make_file(path: &Path) -> File {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .unwrap();
    file.set_len(LENGTH).unwrap();
    let bytes: Vec<u8> = (0..400_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for at in [0, 10_000_001, (LENGTH / 2) - 200_000, LENGTH - 400_000] {
        file.write_all_at(&bytes, at).unwrap();
    }
    file
}

fn part(file: &File, from: u64, to: u64) -> Vec<u8> {
    let mut bytes = vec![0; (to - from) as usize];
    file.read_exact_at(&mut bytes, from).unwrap();
    bytes
}

/// Gets the whole file, and compares it as it comes.
fn compare_whole(server: &Server, file: &File) {
    let mut curl = server.curl("/big", &[]).spawn().unwrap();
    let mut out = curl.stdout.take().unwrap();
    let (mut ours, mut theirs) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = 0;
    loop {
        let count = out.read(&mut theirs).unwrap();
        if count == 0 {
            break;
        }
        file.read_exact_at(&mut ours[..count], at).unwrap();
        assert!(ours[..count] == theirs[..count], "other bytes after {at}");
        at += count as u64;
    }
    assert!(curl.wait().unwrap().success());
    assert_eq!(at, LENGTH);
}

fn check_ranges(server: &Server, file: &File) {
    let half = LENGTH / 2;
    let ranges = [
        ("0-0".to_owned(), 0, 1),
        ("0-399999".to_owned(), 0, 400_000),
        (
            format!("{}-{}", half - 250_000, half + 250_000),
            half - 250_000,
            half + 250_001,
        ),
        (format!("{}-", LENGTH - 300_000), LENGTH - 300_000, LENGTH),
        ("-1".to_owned(), LENGTH - 1, LENGTH),
        ("-450000".to_owned(), LENGTH - 450_000, LENGTH),
        (format!("{}-{}", LENGTH - 5, LENGTH + 5), LENGTH - 5, LENGTH),
    ];
    for (range, from, to) in ranges {
        let (head, body) = server.get("/big", &["--range", &range]);
        assert!(head.starts_with("http/1.1 206 "), "{range}: {head}");
        let expected = format!("content-range: bytes {from}-{}/{LENGTH}\r\n", to - 1);
        assert!(head.contains(&expected), "{range}: {head}");
        assert!(
            head.contains(&format!("content-length: {}\r\n", to - from)),
            "{head}"
        );
        assert!(body == part(file, from, to), "{range}: other bytes");
    }
    let (head, _) = server.get("/big", &["--range", &format!("{LENGTH}-")]);
    assert!(head.starts_with("http/1.1 416 "), "{head}");
    assert!(
        head.contains(&format!("content-range: bytes */{LENGTH}\r\n")),
        "{head}"
    );
    let (head, body) = server.get("/big", &["--head"]);
    assert!(
        head.starts_with("http/1.1 200 ") && body.is_empty(),
        "{head}"
    );
    assert!(
        head.contains(&format!("content-length: {LENGTH}\r\n")),
        "{head}"
    );
    assert!(head.contains("accept-ranges: bytes\r\n"), "{head}");
}

/// Nothing above the directory is to be had, by any spelling.
fn check_traversal(server: &Server) {
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/x/../../secret",
        "/none",
    ] {
        let (head, body) = server.get(path, &[]);
        assert!(head.starts_with("http/1.1 40"), "{path}: {head}");
        assert!(!body.windows(6).any(|bytes| bytes == b"secret"), "{path}");
    }
}

/// The folder that is served, with a secret beside it.
fn folder() -> (tempfile::TempDir, PathBuf, File) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let served = dir.path().join("served");
    std::fs::create_dir(&served).unwrap();
    std::fs::write(dir.path().join("secret"), "the secret").unwrap();
    let file = make_file(&served.join("big"));
    (dir, served, file)
}

fn has_curl(test: &str) -> bool {
    let found = Command::new("curl")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("skip: {test}: curl is missing");
    }
    found
}

/// Everything over one server: several at once, and one client that asks for all and takes nothing.
fn serve(name: &str, special: impl FnOnce(&Server, &Path)) {
    let (_dir, served, file) = folder();
    let server = Server::start(name, &served);
    let mut idle = TcpStream::connect(&server.address).unwrap();
    idle.write_all(b"GET /big HTTP/1.1\r\nhost: here\r\n\r\n")
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| compare_whole(&server, &file));
        }
        scope.spawn(|| check_ranges(&server, &file));
    });
    check_traversal(&server);
    special(&server, &served);
    match server.memory_max() {
        Some(bytes) => {
            eprintln!("{name}: at most {} KiB", bytes >> 10);
            assert!(bytes <= SERVER_BYTES_MAX, "{name}: {bytes} bytes");
        }
        None => eprintln!("skip: memory_of_{name}: no /proc here"),
    }
    drop(idle);
}

#[test]
fn axum_ranges() {
    if !has_curl("axum_ranges") {
        return;
    }
    serve("axum_ranges", |server, served| {
        std::os::unix::fs::symlink("../secret", served.join("link")).unwrap();
        let (head, _) = server.get("/link", &[]);
        assert!(head.starts_with("http/1.1 40"), "{head}");
        std::fs::create_dir(served.join("folder")).unwrap();
        nix::unistd::mkfifo(&served.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in ["/folder", "/pipe"] {
            let (head, _) = server.get(path, &[]);
            assert!(head.starts_with("http/1.1 404 "), "{path}: {head}");
        }

        let (head, _) = server.get("/big", &["--head"]);
        let etag = head
            .lines()
            .find_map(|line| line.strip_prefix("etag: "))
            .unwrap();
        let condition = format!("If-None-Match: {etag}");
        let (head, body) = server.get("/big", &["--header", &condition]);
        assert!(
            head.starts_with("http/1.1 304 ") && body.is_empty(),
            "{head}"
        );
        let same = format!("If-Range: {etag}");
        let (head, _) = server.get("/big", &["--header", &same, "--range", "5-9"]);
        assert!(head.starts_with("http/1.1 206 "), "{head}");
        let other = [
            "--header",
            "If-Range: \"other\"",
            "--range",
            "5-9",
            "--head",
        ];
        let (head, _) = server.get("/big", &other);
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        // What is no range is ignored; nothing has no last byte.
        std::fs::write(served.join("empty"), "").unwrap();
        for (path, range, status) in [
            ("/big", "bytes=9-5", 200),
            ("/big", "bytes=1-2,4-5", 200),
            ("/big", "bytes=+1-2", 200),
            ("/big", "lines=1-2", 200),
            ("/big", "bytes=-0", 416),
            ("/big", "bytes=99999999999999999999-", 416),
            ("/empty", "bytes=-1", 416),
            ("/empty", "bytes=", 200),
        ] {
            let (head, _) = server.get(path, &["--head", "--header", &format!("Range: {range}")]);
            assert!(
                head.starts_with(&format!("http/1.1 {status} ")),
                "{range}: {head}"
            );
        }
    });
}

#[test]
fn tower_http_servedir() {
    if !has_curl("tower_http_servedir") {
        return;
    }
    serve("tower_http_servedir", |server, served| {
        std::fs::write(served.join("page.html"), "<p>").unwrap();
        let (head, body) = server.get("/page.html", &[]);
        assert!(head.contains("content-type: text/html\r\n"), "{head}");
        assert_eq!(body, b"<p>");
    });
}
