//! Packs (gitformat-pack): read as they stream in, and written for a push.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};

use flate2::bufread::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::commit::{Base, NewObject};
use crate::object::{Kind, Object, ObjectFormat, Oid};
use crate::session::Store;

/// The largest object that is taken: a manifest of this size is a mistake, and a server must not
/// be able to fill our memory.
const LARGEST: u64 = 256 << 20;

/// What to do with what comes.
pub(crate) struct Reading<'a> {
    /// Whether blobs are wanted; if not, they are read over.
    pub(crate) keep_blobs: bool,
    /// Called after every object: `true` ends the reading before the end of the pack.
    pub(crate) enough: &'a dyn Fn(&Store) -> bool,
}

/// How a pack ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it was read.
    Whole,
    /// The reader had enough: the stream stands somewhere in the pack.
    Early,
}

/// Reads a pack into the store. An object's id is computed from what came, so that a wrong byte
/// can only lead to an object that is missing.
///
/// # Errors
/// What the stream does; `InvalidData` for what is no pack.
pub(crate) fn read(from: &mut dyn Read, store: &mut Store, how: &Reading<'_>) -> io::Result<End> {
    let mut from = Counted { inner: BufReader::with_capacity(16 * 1024, from), offset: 0 };
    let mut header = [0; 12];
    from.read_exact(&mut header)?;
    let version = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    if &header[..4] != b"PACK" || !(2..=3).contains(&version) {
        return Err(bad("it does not begin as a pack"));
    }
    let count = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    let mut pack = Incoming { at: HashMap::new(), waiting: Vec::new(), keep_blobs: how.keep_blobs };
    for _ in 0..count {
        pack.object(&mut from, store)?;
        if (how.enough)(store) {
            return Ok(End::Early);
        }
    }
    if !pack.waiting.is_empty() {
        return Err(bad("it lacks the base of a delta"));
    }
    let mut trailer = vec![0; store.format.raw_len()];
    from.read_exact(&mut trailer)?;
    Ok(End::Whole)
}

/// A pack on its way in.
struct Incoming {
    /// Offset to id, for deltas by offset. `None`: an object that was read over.
    at: HashMap<u64, Option<Oid>>,
    /// Deltas whose base has not come yet.
    waiting: Vec<(u64, Oid, Vec<u8>)>,
    keep_blobs: bool,
}

impl Incoming {
    fn object(&mut self, from: &mut Counted<'_>, store: &mut Store) -> io::Result<()> {
        let offset = from.offset;
        let mut byte = from.byte()?;
        let code = byte >> 4 & 7;
        let mut size = u64::from(byte & 15);
        let mut shift = 4;
        while byte & 0x80 != 0 {
            byte = from.byte()?;
            size |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(u64::MAX);
            shift += 7;
        }
        if size > LARGEST {
            return Err(bad(&format!("it holds an object of {size} bytes")));
        }
        let kind = match code {
            1 => Kind::Commit,
            2 => Kind::Tree,
            3 => Kind::Blob,
            4 => Kind::Tag,
            6 => {
                let back = from.offset_back()?;
                let base = offset.checked_sub(back).and_then(|at| self.at.get(&at)).copied();
                let delta = from.inflate(size)?;
                return match base {
                    Some(Some(base)) => self.delta(offset, base, delta, store),
                    Some(None) => {
                        self.at.insert(offset, None);
                        store.newest = Some(Kind::Blob);
                        Ok(())
                    }
                    None => Err(bad("a delta's base is not where it says")),
                };
            }
            7 => {
                let mut raw = vec![0; store.format.raw_len()];
                from.read_exact(&mut raw)?;
                let delta = from.inflate(size)?;
                return self.delta(offset, Oid::new(&raw), delta, store);
            }
            _ => return Err(bad("an object of no known kind")),
        };
        let data = from.inflate(size)?;
        self.keep(offset, kind, data, store)
    }

    fn delta(&mut self, offset: u64, base: Oid, delta: Vec<u8>, store: &mut Store) -> io::Result<()> {
        let Some(object) = store.objects.get(&base) else {
            self.waiting.push((offset, base, delta));
            return Ok(());
        };
        let kind = object.kind;
        let data = apply(&object.data, &delta)?;
        self.keep(offset, kind, data, store)
    }

    fn keep(&mut self, offset: u64, kind: Kind, data: Vec<u8>, store: &mut Store) -> io::Result<()> {
        store.newest = Some(kind);
        if kind == Kind::Blob && !self.keep_blobs {
            self.at.insert(offset, None);
            return Ok(());
        }
        let id = store.format.id(kind, &data);
        self.at.insert(offset, Some(id));
        store.objects.insert(id, Object { kind, data });
        while let Some(ready) = self.waiting.iter().position(|(_, base, _)| *base == id) {
            let (offset, base, delta) = self.waiting.swap_remove(ready);
            self.delta(offset, base, delta, store)?;
        }
        Ok(())
    }
}

/// A stream that knows how far it has been read.
struct Counted<'a> {
    inner: BufReader<&'a mut dyn Read>,
    offset: u64,
}

impl Counted<'_> {
    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    /// The distance to a delta's base: big-endian base 128, each further byte adds one.
    fn offset_back(&mut self) -> io::Result<u64> {
        let mut byte = self.byte()?;
        let mut value = u64::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            value = value
                .checked_add(1)
                .and_then(|value| value.checked_mul(128))
                .ok_or_else(|| bad("a delta's base is not where it says"))?
                | u64::from(byte & 0x7f);
        }
        Ok(value)
    }

    fn inflate(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut data = Vec::with_capacity(size.min(1 << 20) as usize);
        let mut decoder = ZlibDecoder::new(&mut *self);
        (&mut decoder).take(size).read_to_end(&mut data)?;
        // The end of the compressed data must be read too, and must be here.
        if data.len() as u64 != size || decoder.read(&mut [0])? != 0 {
            return Err(bad("an object is not as long as it says"));
        }
        Ok(data)
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(into)?;
        self.offset += n as u64;
        Ok(n)
    }
}

impl BufRead for Counted<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.offset += amount as u64;
    }
}

fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the pack cannot be read: {reason}"))
}

/// Applies a delta: sizes of base and result, then "copy from base" and "insert" instructions.
pub(crate) fn apply(base: &[u8], delta: &[u8]) -> io::Result<Vec<u8>> {
    let wrong = || bad("a delta does not fit its base");
    let mut delta = delta;
    let mut byte = || -> io::Result<u8> {
        let (first, rest) = delta.split_first().ok_or_else(wrong)?;
        delta = rest;
        Ok(*first)
    };
    let mut sizes = [0u64; 2];
    for size in &mut sizes {
        for shift in (0..63).step_by(7) {
            let next = byte()?;
            *size |= u64::from(next & 0x7f) << shift;
            if next & 0x80 == 0 {
                break;
            }
        }
    }
    if sizes[0] != base.len() as u64 || sizes[1] > LARGEST {
        return Err(wrong());
    }
    let mut result = Vec::with_capacity((sizes[1] as usize).min(1 << 20));
    while (result.len() as u64) < sizes[1] {
        let code = byte()?;
        if code & 0x80 == 0 {
            if code == 0 {
                return Err(wrong());
            }
            for _ in 0..code {
                result.push(byte()?);
            }
            continue;
        }
        let mut number = |bits: std::ops::Range<u8>| -> io::Result<usize> {
            let mut value = 0;
            for (at, bit) in bits.enumerate() {
                if code & (1 << bit) != 0 {
                    value |= usize::from(byte()?) << (8 * at);
                }
            }
            Ok(value)
        };
        let start = number(0..4)?;
        let length = match number(4..7)? {
            0 => 0x10000,
            length => length,
        };
        let copied = start.checked_add(length).and_then(|end| base.get(start..end));
        result.extend_from_slice(copied.ok_or_else(wrong)?);
    }
    if result.len() as u64 != sizes[1] {
        return Err(wrong());
    }
    Ok(result)
}

/// Writes a pack of new objects. With `thin`, a tree is sent as what it changes of the one the
/// server has, so that a directory of ten thousand files costs a hundred bytes.
pub(crate) fn write(format: ObjectFormat, objects: &[NewObject], thin: bool) -> io::Result<Vec<u8>> {
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    pack.extend_from_slice(&(objects.len() as u32).to_be_bytes());
    for object in objects {
        let delta = match &object.base {
            Some(base) if thin => Some((base, delta(base, &object.data))),
            _ => None,
        };
        match delta {
            Some((base, delta)) if delta.len() + format.raw_len() < object.data.len() => {
                object_header(&mut pack, 7, delta.len());
                pack.extend_from_slice(base.id.raw());
                deflate(&mut pack, &delta)?;
            }
            _ => {
                let code = match object.kind {
                    Kind::Commit => 1,
                    Kind::Tree => 2,
                    Kind::Blob => 3,
                    Kind::Tag => 4,
                };
                object_header(&mut pack, code, object.data.len());
                deflate(&mut pack, &object.data)?;
            }
        }
    }
    let checksum = format.digest(&[&pack]);
    pack.extend_from_slice(checksum.raw());
    Ok(pack)
}

fn object_header(pack: &mut Vec<u8>, code: u8, size: usize) {
    let mut byte = code << 4 | (size & 15) as u8;
    let mut rest = size >> 4;
    while rest > 0 {
        pack.push(byte | 0x80);
        byte = (rest & 0x7f) as u8;
        rest >>= 7;
    }
    pack.push(byte);
}

fn deflate(pack: &mut Vec<u8>, data: &[u8]) -> io::Result<()> {
    let mut encoder = ZlibEncoder::new(pack, flate2::Compression::default());
    encoder.write_all(data)?;
    encoder.finish()?;
    Ok(())
}

/// The delta from a base that is equal at the start and at the end.
fn delta(base: &Base, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for mut size in [base.len, data.len()] {
        while size > 0x7f {
            out.push((size & 0x7f) as u8 | 0x80);
            size >>= 7;
        }
        out.push(size as u8);
    }
    copy(&mut out, 0, base.prefix);
    for part in data[base.prefix..data.len() - base.suffix].chunks(127) {
        out.push(part.len() as u8);
        out.extend_from_slice(part);
    }
    copy(&mut out, base.len - base.suffix, base.suffix);
    out
}

/// Copy instructions. Pack version 2 has room for 64 kB at a time.
fn copy(out: &mut Vec<u8>, mut start: usize, mut length: usize) {
    while length > 0 {
        let now = length.min(0xffff);
        let mut code = 0x80;
        let mut arguments = Vec::new();
        for (bit, byte) in (start as u32).to_le_bytes().into_iter().enumerate() {
            if byte != 0 {
                code |= 1 << bit;
                arguments.push(byte);
            }
        }
        for (bit, byte) in (now as u16).to_le_bytes().into_iter().enumerate() {
            if byte != 0 {
                code |= 1 << (4 + bit);
                arguments.push(byte);
            }
        }
        out.push(code);
        out.extend_from_slice(&arguments);
        start += now;
        length -= now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: ObjectFormat = ObjectFormat::Sha1;

    fn new(kind: Kind, data: &[u8], base: Option<Base>) -> NewObject {
        NewObject { id: FORMAT.id(kind, data), kind, data: data.to_vec(), base }
    }

    fn read_back(pack: &[u8], store: &mut Store) -> io::Result<End> {
        read(&mut &pack[..], store, &Reading { keep_blobs: true, enough: &|_| false })
    }

    #[test]
    fn a_pack_is_read_as_it_was_written() {
        let objects = [
            new(Kind::Commit, b"tree 1\n", None),
            new(Kind::Tree, &[7; 100_000], None),
            new(Kind::Blob, b"", None),
        ];
        let pack = write(FORMAT, &objects, true).unwrap();
        let mut store = Store::default();
        assert_eq!(read_back(&pack, &mut store).unwrap(), End::Whole);
        for object in &objects {
            assert_eq!(store.objects[&object.id].data, object.data);
        }
    }

    #[test]
    fn a_tree_that_differs_by_one_entry_is_sent_as_a_small_delta() {
        let old: Vec<u8> = (0..300_000u32).flat_map(|n| n.to_le_bytes()).collect();
        let mut data = old.clone();
        data.splice(700_000..700_020, *b"another entry of a tree");
        let base = Base {
            id: FORMAT.id(Kind::Tree, &old),
            len: old.len(),
            prefix: 700_000,
            suffix: old.len() - 700_020,
        };
        let object = new(Kind::Tree, &data, Some(base));
        let pack = write(FORMAT, std::slice::from_ref(&object), true).unwrap();
        assert!(pack.len() < 300, "{}", pack.len());
        let mut store = Store::default();
        store.objects.insert(base.id, Object { kind: Kind::Tree, data: old });
        read_back(&pack, &mut store).unwrap();
        assert_eq!(store.objects[&object.id].data, data);
        assert!(write(FORMAT, &[object], false).unwrap().len() > 100_000);
    }

    #[test]
    fn reading_ends_when_there_is_enough() {
        let objects = [new(Kind::Tree, b"a", None), new(Kind::Blob, b"b", None)];
        let pack = write(FORMAT, &objects, false).unwrap();
        let mut store = Store::default();
        let first = objects[0].id;
        let how = Reading { keep_blobs: false, enough: &|store| store.has(&first) };
        assert_eq!(read(&mut &pack[..pack.len() - 25], &mut store, &how).unwrap(), End::Early);
    }

    #[test]
    fn what_is_no_pack_is_an_error_not_a_panic() {
        let objects = [new(Kind::Commit, b"tree 1\n", None), new(Kind::Blob, &[3; 500], None)];
        let pack = write(FORMAT, &objects, false).unwrap();
        for cut in 0..pack.len() {
            assert!(read_back(&pack[..cut], &mut Store::default()).is_err(), "{cut}");
        }
        for at in 0..pack.len() - 20 {
            let mut broken = pack.clone();
            broken[at] ^= 0x55;
            let mut store = Store::default();
            let whole = read_back(&broken, &mut store).is_ok();
            let all = objects.iter().all(|object| store.has(&object.id));
            // The version, 2 or 3, is not looked at any further.
            assert!(!(whole && all) || broken[at] == pack[at], "{at}");
        }
    }
}
