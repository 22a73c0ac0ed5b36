//! `/proc/self/mountinfo`, read.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::statx::device;
use crate::sys::mounted::Mounted;

/// The mounts in the order of the text. A line that makes no sense is left out: the kernel only ever adds
/// to the format, and the rest is worth having.
pub(crate) fn parse(text: &[u8]) -> Vec<Mounted> {
    text.split(|&byte| byte == b'\n').filter_map(line).collect()
}

/// `36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/root rw,errors=continue`, where `master:1`
/// stands for any number of fields.
fn line(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|&byte| byte == b' ');
    let mut next = || fields.next();
    let (id, parent) = (number(next()?)?, number(next()?)?);
    let device = device_number(next()?)?;
    let (root, point) = (unescaped(next()?), unescaped(next()?));
    let mount_options = next()?;
    fields.by_ref().find(|&field| field == b"-")?;
    let mut next = || fields.next();
    let fs_type = unescaped(next()?);
    // A source may be empty, and the last field may be missing with it.
    let source = unescaped(next().unwrap_or_default());
    let options = [mount_options, next().unwrap_or_default()]
        .map(|options| unescaped(options).to_string_lossy().into_owned());
    Some(Mounted {
        id,
        parent,
        device,
        root: root.into(),
        point: point.into(),
        fs_type: fs_type.to_string_lossy().into_owned(),
        source,
        options: options.join(",").trim_matches(',').to_owned(),
    })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn device_number(field: &[u8]) -> Option<u64> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some(device(major.parse().ok()?, minor.parse().ok()?))
}

/// Without the kernel's escapes: `\040` for a space, and the like.
fn unescaped(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let escape = (first == b'\\').then(|| octal(after)).flatten();
        bytes.push(escape.unwrap_or(first));
        rest = if escape.is_some() { &after[3..] } else { after };
    }
    OsString::from_vec(bytes)
}

/// The byte that three octal digits at the start stand for.
fn octal(digits: &[u8]) -> Option<u8> {
    let digits = digits.get(..3)?;
    let is_octal = digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
    let value = digits
        .iter()
        .fold(0, |value, digit| value * 8 + u32::from(digit & 7));
    u8::try_from(value).ok().filter(|_| is_octal)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sys::linux::sim::Random;

    fn one(text: &str) -> Option<Mounted> {
        let mut found = parse(text.as_bytes());
        assert!(found.len() < 2, "{text}");
        found.pop()
    }

    /// Every field comes out, with none, one or many of the optional ones.
    #[test]
    fn fields_are_found_whatever_stands_between() {
        for optional in [
            "",
            "master:1 ",
            "shared:7 master:2 propagate_from:1 unbindable new:9 ",
        ] {
            let text = format!(
                "36 35 98:4 /sub /mnt rw,noatime {optional}- fuse.sshfs host:/x rw,errors=continue\n"
            );
            let found = one(&text).unwrap();
            assert_eq!((found.id, found.parent), (36, 35));
            assert_eq!(found.device, device(98, 4));
            assert_eq!(
                (found.root.as_path(), found.point.as_path()),
                (Path::new("/sub"), Path::new("/mnt"))
            );
            assert_eq!(
                (found.fs_type.as_str(), found.source.to_str()),
                ("fuse.sshfs", Some("host:/x"))
            );
            assert_eq!(found.options, "rw,noatime,rw,errors=continue");
        }
    }

    /// The kernel's escapes are undone, and nothing else is.
    #[test]
    fn escapes_are_undone() {
        let cases: [(&str, &[u8]); 9] = [
            (r"/a\040b", b"/a b"),
            (r"/tab\011", b"/tab\t"),
            (r"/line\012end", b"/line\nend"),
            (r"/back\134slash", br"/back\slash"),
            (r"/\043", b"/#"),
            (r"/\303\244", "/ä".as_bytes()),
            (r"/\4", br"/\4"),
            (r"/\999", br"/\999"),
            (r"/\777\", br"/\777\"),
        ];
        for (written, meant) in cases {
            let found = one(&format!("1 1 0:1 / {written} rw - tmpfs none rw")).unwrap();
            assert_eq!(found.point.into_os_string().into_vec(), meant, "{written}");
        }
    }

    /// What is missing at the end is empty; what is missing before costs the line, and no other.
    #[test]
    fn lines_without_sense_are_left_out() {
        assert_eq!(one("1 1 0:1 / /p rw - tmpfs").unwrap().source, "");
        assert_eq!(one("1 1 0:1 / /p rw -  tmpfs none").unwrap().fs_type, "");
        for text in [
            "",
            "\n",
            "1",
            "x 1 0:1 / /p rw - t s o",
            "1 1 01 / /p rw - t s o",
            "1 1 0:1 / /p rw t s o",
            "1 1 0:1 / /p rw -",
            "-1 1 0:1 / /p rw - t s o",
        ] {
            assert_eq!(one(text), None, "{text:?}");
        }
        let text = b"junk\n1 1 0:1 / /p rw - t s o\n\xff\xfe 1\n2 1 0:2 / /q\xff rw - t s o";
        assert_eq!(parse(text).len(), 2);
    }

    /// Random text, and this machine's own with random damage, is read without a panic.
    #[test]
    fn no_text_makes_it_panic() {
        let own = std::fs::read("/proc/self/mountinfo").unwrap();
        assert!(!parse(&own).is_empty());
        let alphabet = b"0123456789:\\ -/\nab,\xff";
        for seed in 0..2000_u64 {
            let mut random = Random(seed);
            let mut text = own.clone();
            if seed % 2 == 0 {
                text = vec![0; random.below(300)];
                text.fill_with(|| alphabet[random.below(alphabet.len())]);
            } else {
                for _ in 0..8 {
                    let at = random.below(text.len());
                    text[at] = alphabet[random.below(alphabet.len())];
                }
                text.truncate(random.below(text.len()) + 1);
            }
            let lines = text.split(|&byte| byte == b'\n').count();
            let found = std::panic::catch_unwind(|| parse(&text));
            let found = found.unwrap_or_else(|_| panic!("panics with seed {seed}"));
            assert!(found.len() <= lines, "seed {seed}");
        }
    }
}
