//! pkt-line framing (gitprotocol-common) and the side-band (gitprotocol-pack).

use std::io::{self, Read};

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packet {
    /// `0000`
    Flush,
    /// `0001`, between sections (v2)
    Delimiter,
    /// `0002`, end of a response (v2, stateless)
    End,
    /// Anything else.
    Data(Vec<u8>),
}

/// The longest frame there is: 65516 bytes of payload and 4 of length.
const LONGEST: usize = 65520;

/// Appends a frame. `payload` is at most 65516 bytes.
pub(crate) fn write(out: &mut Vec<u8>, payload: &[u8]) {
    debug_assert!(payload.len() + 4 <= LONGEST);
    out.extend_from_slice(format!("{:04x}", payload.len() + 4).as_bytes());
    out.extend_from_slice(payload);
}

/// Appends a line with its line feed.
pub(crate) fn line(out: &mut Vec<u8>, text: &str) {
    write(out, format!("{text}\n").as_bytes());
}

/// Appends `0000`.
pub(crate) fn flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0000");
}

/// Appends `0001`.
pub(crate) fn delimiter(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0001");
}

/// Reads one frame; `None` at the end of the stream.
///
/// # Errors
/// What the stream does; `InvalidData` if it is not framed, with its first bytes.
pub(crate) fn read(from: &mut dyn Read) -> io::Result<Option<Packet>> {
    let mut length = [0; 4];
    let mut got = 0;
    while got < 4 {
        match from.read(&mut length[got..]) {
            Ok(0) if got == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let text = std::str::from_utf8(&length).ok();
    let Some(length_value) = text.and_then(|hex| usize::from_str_radix(hex, 16).ok()) else {
        let mut more = [0; 60];
        let n = from.read(&mut more).unwrap_or(0);
        let start = [&length[..], &more[..n]].concat();
        let shown = String::from_utf8_lossy(&start).replace(['\n', '\r'], " ");
        let message = format!("not git's protocol, it begins with: {shown}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    };
    match length_value {
        0 => Ok(Some(Packet::Flush)),
        1 => Ok(Some(Packet::Delimiter)),
        2 => Ok(Some(Packet::End)),
        n @ 4..=LONGEST => {
            let mut payload = vec![0; n - 4];
            from.read_exact(&mut payload)?;
            Ok(Some(Packet::Data(payload)))
        }
        n => Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {n} bytes"))),
    }
}

/// A frame as text, without its line feed.
pub(crate) fn text(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    text.strip_suffix('\n').unwrap_or(&text).to_string()
}

/// The text of an `ERR` frame, with which a server ends a conversation.
pub(crate) fn error(payload: &[u8]) -> Option<String> {
    payload.strip_prefix(b"ERR ").map(text)
}

/// What a server said to end a conversation, as an error of the stream.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ServerWords(pub(crate) String);

/// The same, wrapped.
pub(crate) fn refused(words: String) -> io::Error {
    io::Error::other(ServerWords(words))
}

/// Splits the side-band: gives the data, keeps what the server says beside it.
pub(crate) struct SideBand<'a> {
    from: &'a mut dyn Read,
    current: Vec<u8>,
    at: usize,
    ended: bool,
    said: Vec<u8>,
    fatal: Option<String>,
}

impl<'a> SideBand<'a> {
    pub(crate) fn new(from: &'a mut dyn Read) -> Self {
        Self { from, current: Vec::new(), at: 0, ended: false, said: Vec::new(), fatal: None }
    }

    /// Reads and drops what is left, up to the flush.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        let mut rest = [0; 8192];
        while self.read(&mut rest)? > 0 {}
        Ok(())
    }

    /// What was said on band 2, in lines; of lines that were rewritten by `\r`, the last state.
    pub(crate) fn messages(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.said);
        text.split('\n')
            .map(|line| line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default().trim_end())
            .filter(|line| !line.is_empty())
            .map(str::to_string)
            .collect()
    }

    /// What was said on band 3, which ends everything.
    pub(crate) fn fatal(&self) -> Option<&str> {
        self.fatal.as_deref()
    }
}

impl Read for SideBand<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.current.len() && !self.ended {
            match read(self.from)? {
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(Packet::Flush | Packet::End | Packet::Delimiter) => self.ended = true,
                Some(Packet::Data(data)) => match data.first() {
                    Some(1) => (self.current, self.at) = (data, 1),
                    Some(2) if self.said.len() < 256 * 1024 => self.said.extend_from_slice(&data[1..]),
                    Some(2) => {}
                    Some(3) => {
                        let fatal = text(&data[1..]);
                        self.fatal = Some(fatal.clone());
                        return Err(refused(fatal));
                    }
                    _ => {
                        self.fatal = error(&data);
                        return Err(match &self.fatal {
                            Some(words) => refused(words.clone()),
                            None => io::Error::new(io::ErrorKind::InvalidData, "a frame of no side-band"),
                        });
                    }
                },
            }
        }
        let n = into.len().min(self.current.len() - self.at);
        into[..n].copy_from_slice(&self.current[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written() {
        let mut out = Vec::new();
        line(&mut out, "want 1");
        delimiter(&mut out);
        write(&mut out, b"");
        flush(&mut out);
        assert_eq!(out, b"000bwant 1\n000100040000");
        let mut from = &out[..];
        assert_eq!(read(&mut from).unwrap(), Some(Packet::Data(b"want 1\n".to_vec())));
        assert_eq!(read(&mut from).unwrap(), Some(Packet::Delimiter));
        assert_eq!(read(&mut from).unwrap(), Some(Packet::Data(Vec::new())));
        assert_eq!(read(&mut from).unwrap(), Some(Packet::Flush));
        assert_eq!(read(&mut from).unwrap(), None);
    }

    #[test]
    fn a_web_page_is_not_git() {
        let error = read(&mut &b"<html>\n<body>"[..]).unwrap_err();
        assert_eq!(error.to_string(), "not git's protocol, it begins with: <html> <body>");
        assert_eq!(read(&mut &b"00"[..]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read(&mut &b"0010abc"[..]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn the_side_band_is_split() {
        let mut out = Vec::new();
        write(&mut out, b"\x02remote: 10%\rremote: 100%\ndo");
        write(&mut out, b"\x01PA");
        write(&mut out, b"\x02ne\n");
        write(&mut out, b"\x01CK");
        flush(&mut out);
        let mut from = &out[..];
        let mut band = SideBand::new(&mut from);
        let mut data = String::new();
        band.read_to_string(&mut data).unwrap();
        assert_eq!(data, "PACK");
        assert_eq!(band.messages(), ["remote: 100%", "done"]);
        let mut out = Vec::new();
        write(&mut out, b"\x03no space left\n");
        let mut from = &out[..];
        let mut band = SideBand::new(&mut from);
        assert_eq!(band.drain().unwrap_err().to_string(), "no space left");
        assert_eq!(band.fatal(), Some("no space left"));
    }
}
