//! The answer to a push: `report-status`, inside the side-band or not.

use std::io::{self, Cursor, Read};

use super::pktline::{self, Packet, SideBand};
use crate::session::PushReply;

/// Reads the answer to a push of one ref.
///
/// # Errors
/// What the stream does: then it is not known what happened.
pub(crate) fn read(from: &mut dyn Read) -> io::Result<PushReply> {
    // A server that does not know the side-band answers without: the first byte of the first frame
    // tells, a band's number or the `u` of `unpack`.
    let mut first = [0; 5];
    from.read_exact(&mut first)?;
    let banded = matches!(first[4], 1..=3);
    let mut whole = Cursor::new(first).chain(from);
    if !banded {
        return status(&mut whole, Vec::new());
    }
    let mut band = SideBand::new(&mut whole);
    let mut report = Vec::new();
    let outcome = band.read_to_end(&mut report);
    let messages: Vec<String> = band.messages().into_iter().filter(|line| !is_progress(line)).collect();
    if report.is_empty() {
        // The server ended the conversation in place of an answer.
        if let Some(fatal) = band.fatal() {
            return Ok(PushReply { result: Some(fatal.to_string()), messages });
        }
        outcome?;
    }
    status(&mut &report[..], messages)
}

fn status(from: &mut dyn Read, messages: Vec<String>) -> io::Result<PushReply> {
    let mut unpack = None;
    let mut reference = None;
    while let Some(packet) = pktline::read(from)? {
        let Packet::Data(data) = packet else { break };
        if let Some(words) = pktline::error(&data) {
            return Ok(PushReply { result: Some(words), messages });
        }
        let text = pktline::text(&data);
        if let Some(result) = text.strip_prefix("unpack ") {
            unpack = Some(result.to_string());
        } else if let Some(rest) = text.strip_prefix("ng ") {
            let (_, reason) = rest.split_once(' ').unwrap_or((rest, "rejected without a reason"));
            reference = Some(Err(reason.to_string()));
        } else if text.starts_with("ok ") {
            reference = Some(Ok(()));
        }
    }
    match (unpack.as_deref(), reference) {
        (Some("ok"), Some(Ok(()))) => Ok(PushReply { result: None, messages }),
        (Some("ok") | None, Some(Err(reason))) => Ok(PushReply { result: Some(reason), messages }),
        (Some(reason), _) if reason != "ok" => {
            Ok(PushReply { result: Some(format!("unpacker error: {reason}")), messages })
        }
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer to the push is not complete")),
    }
}

/// Lines that tell how far the server is, which is of no use afterwards.
fn is_progress(line: &str) -> bool {
    const WORK: [&str; 6] = [
        "Resolving deltas:",
        "Unpacking objects:",
        "Counting objects:",
        "Compressing objects:",
        "Processing changes:",
        "Checking connectivity:",
    ];
    WORK.iter().any(|work| line.trim_start().starts_with(work))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        lines.iter().for_each(|line| pktline::line(&mut out, line));
        pktline::flush(&mut out);
        out
    }

    fn banded(said: &str, report: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        pktline::write(&mut out, &[b"\x02", said.as_bytes()].concat());
        pktline::write(&mut out, &[b"\x01", report].concat());
        pktline::flush(&mut out);
        out
    }

    #[test]
    fn yes_and_no_are_told_apart() {
        let yes = report(&["unpack ok", "ok refs/heads/main"]);
        assert_eq!(read(&mut &yes[..]).unwrap(), PushReply::default());
        let answer = banded("Resolving deltas: 100%, done.\nopen https://h/new\n", &yes);
        let messages = vec!["open https://h/new".to_string()];
        assert_eq!(read(&mut &answer[..]).unwrap(), PushReply { result: None, messages });
        let no = report(&["unpack ok", "ng refs/heads/main failed to update ref"]);
        let reply = read(&mut &banded("", &no)[..]).unwrap();
        assert_eq!(reply.result.as_deref(), Some("failed to update ref"));
        let no = report(&["unpack index-pack abnormal exit", "ng refs/heads/main unpacker error"]);
        let reply = read(&mut &no[..]).unwrap();
        assert_eq!(reply.result.as_deref(), Some("unpacker error: index-pack abnormal exit"));
    }

    #[test]
    fn an_answer_that_ends_too_early_is_no_answer() {
        let answer = banded("x", &report(&["unpack ok", "ok refs/heads/main"]));
        for cut in 0..answer.len() - 4 {
            assert!(read(&mut &answer[..cut]).is_err(), "{cut}");
        }
        assert!(read(&mut &report(&["unpack ok"])[..]).is_err());
    }
}
