//! The requests we send: `ls-refs`, `fetch` (both protocol versions) and a push.

use super::advert::Advert;
use super::pktline;
use crate::object::{ObjectFormat, Oid};
use crate::session::Want;

/// What is asked of a fetch.
#[derive(Debug, Clone)]
pub(crate) struct FetchRequest {
    pub(crate) wants: Vec<Oid>,
    /// Generations of commits; `None` where only trees and blobs are wanted.
    pub(crate) depth: Option<u32>,
    /// A filter (git-rev-list's `--filter`), if the server knows them.
    pub(crate) filter: Option<&'static str>,
    /// A commit of which we have everything, but not its parents.
    pub(crate) have: Option<Oid>,
}

impl FetchRequest {
    /// The request for what is wanted. `tree:1` gives of a commit its root tree only, and `tree:0`
    /// of a tree that tree only, since what is named itself is never filtered.
    pub(crate) fn new(want: Want<'_>, filters: bool) -> Self {
        let mut have = None;
        let (wants, depth, filter) = match want {
            Want::Tip(id) => (vec![id], Some(1), "tree:1"),
            Want::Since { tip, known } => {
                have = Some(known);
                // What others changed is as small as what we change; a large file among it is not.
                (vec![tip], None, "blob:limit=64k")
            }
            Want::Objects(ids) => (ids.to_vec(), None, "tree:0"),
            Want::TreesBelow(id) => (vec![id], None, "blob:none"),
            Want::History { tip, depth } => (vec![tip], Some(depth), "tree:0"),
        };
        Self { wants, depth, filter: filters.then_some(filter), have }
    }

    /// For protocol version 2.
    pub(crate) fn v2(&self, advert: &Advert, agent: &str) -> Vec<u8> {
        let mut out = command("fetch", advert, agent);
        pktline::line(&mut out, "no-progress");
        pktline::line(&mut out, "ofs-delta");
        self.arguments(&mut out, "");
        pktline::line(&mut out, "done");
        pktline::flush(&mut out);
        out
    }

    /// For protocol version 0: all in one, as we never negotiate.
    pub(crate) fn v0(&self, advert: &Advert, agent: &str) -> Vec<u8> {
        let mut capabilities = String::new();
        for known in ["side-band-64k", "ofs-delta", "no-progress", "shallow"] {
            if advert.has(known) {
                capabilities.push_str(&format!(" {known}"));
            }
        }
        if self.filter.is_some() {
            capabilities.push_str(" filter");
        }
        if let Some(format) = advert.value("object-format") {
            capabilities.push_str(&format!(" object-format={format}"));
        }
        if advert.has("agent") {
            capabilities.push_str(&format!(" agent={agent}"));
        }
        let mut out = Vec::new();
        self.arguments(&mut out, &capabilities);
        pktline::line(&mut out, "done");
        out
    }

    fn arguments(&self, out: &mut Vec<u8>, v0_capabilities: &str) {
        let v0 = !v0_capabilities.is_empty();
        for (at, id) in self.wants.iter().enumerate() {
            let capabilities = if at == 0 { v0_capabilities } else { "" };
            pktline::line(out, &format!("want {id}{capabilities}"));
        }
        if let Some(depth) = self.depth {
            if let Some(have) = self.have {
                pktline::line(out, &format!("shallow {have}"));
            }
            pktline::line(out, &format!("deepen {depth}"));
        }
        if let Some(filter) = self.filter {
            pktline::line(out, &format!("filter {filter}"));
        }
        if v0 {
            pktline::flush(out);
        }
        if let Some(have) = self.have {
            pktline::line(out, &format!("have {have}"));
        }
    }
}

/// `ls-refs`, with the branch that HEAD names even if it has no commit.
pub(crate) fn ls_refs(advert: &Advert, agent: &str, prefixes: &[String]) -> Vec<u8> {
    let mut out = command("ls-refs", advert, agent);
    pktline::line(&mut out, "symrefs");
    if advert.lists("ls-refs", "unborn") {
        pktline::line(&mut out, "unborn");
    }
    pktline::line(&mut out, "ref-prefix HEAD");
    for prefix in prefixes {
        pktline::line(&mut out, &format!("ref-prefix {prefix}"));
    }
    pktline::flush(&mut out);
    out
}

fn command(name: &str, advert: &Advert, agent: &str) -> Vec<u8> {
    let mut out = Vec::new();
    pktline::line(&mut out, &format!("command={name}"));
    if advert.has("agent") {
        pktline::line(&mut out, &format!("agent={agent}"));
    }
    if let Some(format) = advert.value("object-format") {
        pktline::line(&mut out, &format!("object-format={format}"));
    }
    pktline::delimiter(&mut out);
    out
}

/// A push of one ref: its old and new value, what we understand, and the pack.
pub(crate) fn push(
    format: ObjectFormat,
    old: Option<Oid>,
    new: Oid,
    name: &str,
    agent: &str,
    pack: &[u8],
) -> Vec<u8> {
    let old = old.unwrap_or_else(|| format.null());
    let mut capabilities = "report-status side-band-64k quiet".to_string();
    if format != ObjectFormat::Sha1 {
        capabilities.push_str(&format!(" object-format={}", format.name()));
    }
    let mut out = Vec::with_capacity(pack.len() + 256);
    pktline::write(&mut out, format!("{old} {new} {name}\0 {capabilities} agent={agent}").as_bytes());
    pktline::flush(&mut out);
    out.extend_from_slice(pack);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Kind;

    fn shown(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).replace('\n', "|").replace('\0', "%")
    }

    #[test]
    fn a_fetch_is_written_for_both_versions() {
        let id = ObjectFormat::Sha1.id(Kind::Blob, b"hello");
        let mut request = FetchRequest::new(Want::Tip(id), true);
        let advert = Advert {
            capabilities: vec!["agent=x".into(), "object-format=sha1".into(), "shallow".into()],
            ..Advert::default()
        };
        assert_eq!(
            shown(&request.v2(&advert, "kit/1")),
            format!(
                "0012command=fetch|0010agent=kit/1|0017object-format=sha1|0001\
                 0010no-progress|000eofs-delta|0032want {id}|000ddeepen 1|0012filter tree:1|0009done|0000"
            )
        );
        request.filter = None;
        request.have = Some(id);
        assert_eq!(
            shown(&request.v0(&advert, "kit/1")),
            format!(
                "0059want {id} shallow object-format=sha1 agent=kit/1|0035shallow {id}|\
                 000ddeepen 1|00000032have {id}|0009done|"
            )
        );
    }

    #[test]
    fn a_push_names_old_and_new() {
        let id = ObjectFormat::Sha1.id(Kind::Blob, b"hello");
        let zeros = "0".repeat(40);
        assert_eq!(
            shown(&push(ObjectFormat::Sha1, None, id, "refs/heads/x", "kit/1", b"PACK")),
            format!("0091{zeros} {id} refs/heads/x% report-status side-band-64k quiet agent=kit/10000PACK")
        );
    }
}
