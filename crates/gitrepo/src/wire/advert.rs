//! What a server says first, and the answer to `ls-refs` (gitprotocol-v2, gitprotocol-pack).

use std::io::{self, Read};

use super::pktline::{self, Packet};
use crate::object::{ObjectFormat, Oid};
use crate::session::Refs;

/// The services of a git server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Reading.
    UploadPack,
    /// Writing.
    ReceivePack,
}

impl Service {
    /// The name of the program on the server.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}

/// A server's first words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Advert {
    /// 0 (also for 1, which differs by a first line only) or 2.
    pub(crate) version: u8,
    /// Capabilities, `key` or `key=value`.
    pub(crate) capabilities: Vec<String>,
    /// Version 0 only: all refs.
    pub(crate) refs: Vec<(String, Oid)>,
}

impl Advert {
    /// Whether a capability is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// The value of a capability; empty if it has none.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.capabilities.iter().find_map(|capability| match capability.strip_prefix(key)? {
            "" => Some(""),
            rest => rest.strip_prefix('='),
        })
    }

    /// Whether a capability lists a word (`fetch=shallow filter`).
    pub(crate) fn lists(&self, key: &str, word: &str) -> bool {
        self.value(key).is_some_and(|value| value.split(' ').any(|listed| listed == word))
    }

    /// The hash function, if it is one we know.
    pub(crate) fn format(&self) -> Option<ObjectFormat> {
        self.value("object-format").map_or(Some(ObjectFormat::Sha1), ObjectFormat::from_name)
    }

    /// Version 0: whether a ref is shown to be something other than `old`. A ref that is not shown
    /// may be hidden (`receive.hideRefs`).
    pub(crate) fn shows_another(&self, name: &str, old: Option<Oid>) -> bool {
        self.refs.iter().any(|(shown, id)| shown == name && Some(*id) != old)
    }

    /// Version 0: the refs that were asked for, as `ls-refs` gives them.
    pub(crate) fn select(&self, prefixes: &[String]) -> Refs {
        let mut refs = Refs { format: self.format().unwrap_or_default(), ..Refs::default() };
        for (name, id) in &self.refs {
            if name == "HEAD" {
                refs.head_commit = Some(*id);
            } else if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                refs.refs.insert(name.clone(), *id);
            }
        }
        let symref = self.capabilities.iter().find_map(|c| c.strip_prefix("symref=HEAD:"));
        // Servers before git 1.8.4.3 do not name HEAD's branch: guess as git does.
        refs.head = symref.map(str::to_string).or_else(|| {
            let id = refs.head_commit?;
            let same = |name: &str| self.refs.iter().any(|(n, i)| n == name && *i == id);
            ["refs/heads/main", "refs/heads/master"].into_iter().find(|n| same(n)).map(str::to_string)
        });
        refs
    }
}

/// Reads the first words.
///
/// # Errors
/// What the stream does; `Other` with the server's words for an `ERR`; `InvalidData` if these are
/// not the first words of a git server.
pub(crate) fn read(from: &mut dyn Read) -> io::Result<Advert> {
    let mut advert = Advert::default();
    let mut first = true;
    loop {
        let data = match pktline::read(from)? {
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(Packet::Data(data)) => data,
            // `# service=…` has a flush of its own, which is not the end.
            Some(Packet::Flush) if first => continue,
            Some(Packet::Flush | Packet::Delimiter | Packet::End) => return Ok(advert),
        };
        if let Some(words) = pktline::error(&data) {
            return Err(pktline::refused(words));
        }
        let text = pktline::text(&data);
        if first && text.starts_with("# service=") {
            continue;
        }
        match text.as_str() {
            "version 2" if first => advert.version = 2,
            "version 1" if first => continue,
            _ if advert.version == 2 => advert.capabilities.push(text),
            _ => {
                let (line, capabilities) = text.split_once('\0').unwrap_or((&text, ""));
                advert.capabilities.extend(capabilities.split_whitespace().map(str::to_string));
                let (id, name) = line.split_once(' ').unwrap_or((line, ""));
                let id = Oid::parse(id).ok_or_else(|| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("a ref was expected, not: {line}"))
                })?;
                // An empty repository has a line of zeros to carry the capabilities.
                let real = !name.ends_with("^{}") && name != ".have" && name != "shallow";
                if real {
                    advert.refs.push((name.to_string(), id));
                }
            }
        }
        first = false;
    }
}

/// Reads the answer to `ls-refs`.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_ls_refs(from: &mut dyn Read, format: ObjectFormat) -> io::Result<Refs> {
    let mut refs = Refs { format, ..Refs::default() };
    loop {
        let data = match pktline::read(from)? {
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(Packet::Data(data)) => data,
            Some(Packet::Flush | Packet::Delimiter | Packet::End) => return Ok(refs),
        };
        if let Some(words) = pktline::error(&data) {
            return Err(pktline::refused(words));
        }
        let text = pktline::text(&data);
        let mut words = text.split(' ');
        let (id, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let target = words.find_map(|word| word.strip_prefix("symref-target:"));
        let id = match (id, Oid::parse(id)) {
            (_, Some(id)) => Some(id),
            ("unborn", None) => None,
            _ => {
                let message = format!("a ref was expected, not: {text}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        };
        match (name, id) {
            ("HEAD", id) => {
                refs.head = target.map(str::to_string);
                refs.head_commit = id;
            }
            (name, Some(id)) => {
                refs.refs.insert(name.to_string(), id);
            }
            (_, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";

    fn frames(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            match *line {
                "0000" => pktline::flush(&mut out),
                line => pktline::line(&mut out, line),
            }
        }
        out
    }

    #[test]
    fn version_2_is_read_with_and_without_the_line_that_http_adds() {
        let lines = ["version 2", "agent=git/2.39", "ls-refs=unborn", "fetch=shallow filter", "0000"];
        let bare = read(&mut &frames(&lines)[..]).unwrap();
        let over_http = [&["# service=git-upload-pack", "0000"], &lines[..]].concat();
        assert_eq!(read(&mut &frames(&over_http)[..]).unwrap(), bare);
        assert_eq!(bare.version, 2);
        assert!(bare.lists("fetch", "filter") && !bare.lists("fetch", "fil"));
        assert!(bare.lists("ls-refs", "unborn") && !bare.has("ls"));
    }

    #[test]
    fn version_0_is_read_with_its_refs() {
        let first = format!("{ID} HEAD\0multi_ack symref=HEAD:refs/heads/trunk filter");
        let lines =
            [first.as_str(), &format!("{ID} refs/heads/trunk"), &format!("{ID} refs/tags/v1^{{}}"), "0000"];
        let advert = read(&mut &frames(&lines)[..]).unwrap();
        assert_eq!((advert.version, advert.refs.len()), (0, 2));
        let id = Oid::parse(ID);
        assert!(advert.shows_another("refs/heads/trunk", None));
        assert!(!advert.shows_another("refs/heads/trunk", id) && !advert.shows_another("refs/heads/x", id));
        let refs = advert.select(&["refs/heads/".to_string()]);
        assert_eq!(refs.head.as_deref(), Some("refs/heads/trunk"));
        assert_eq!(refs.refs.len(), 1);
    }

    #[test]
    fn an_empty_repository_has_no_refs() {
        let zeros = format!("{} capabilities^{{}}\0report-status", "0".repeat(40));
        let advert = read(&mut &frames(&[&zeros, "0000"])[..]).unwrap();
        assert!(advert.refs.is_empty() && advert.has("report-status"));
        let answer = frames(&["unborn HEAD symref-target:refs/heads/main", "0000"]);
        let refs = read_ls_refs(&mut &answer[..], ObjectFormat::Sha1).unwrap();
        assert_eq!((refs.head.as_deref(), refs.head_commit), (Some("refs/heads/main"), None));
    }

    #[test]
    fn the_servers_error_is_its_own_words() {
        let error = read(&mut &frames(&["ERR access denied: /x"])[..]).unwrap_err();
        assert_eq!(error.to_string(), "access denied: /x");
    }
}
