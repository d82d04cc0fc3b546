//! Messages of the Domain Name System: one question, and the answer to it.
//!
//! An answer is read from whatever comes: every length is checked, compressed names (RFC 1035 section 4.1.4) point backwards only
//! and are bounded in length, so reading ends. What cannot be read is [`Answer::Damaged`]; what is no answer to this question is none.

use crate::limits::NAME_RECORDS_MAX;
use atoll_worker::{NameData, NameKind, NameRecord};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes that an answer over UDP may have (RFC 6891; the size that no network splits).
const DATAGRAM_BYTES_MAX: u16 = 1232;
/// The longest name, bytes with all lengths.
const NAME_MAX: usize = 255;
const LABEL_MAX: usize = 63;
const INTERNET: u16 = 1;
const OPT: u16 = 41;

/// A question to a name server.
pub(super) struct Question {
    bytes: Vec<u8>,
    /// How much of `bytes` the question proper ends at: header, name, type, class.
    end: usize,
    code: u16,
}

/// What a name server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The records of the kind that was asked for, maybe none.
    Records(Vec<NameRecord>),
    /// A code other than 0.
    Code(u8),
    /// It did not fit.
    Truncated,
    /// It makes no sense.
    Damaged,
}

fn code(kind: NameKind) -> u16 {
    match kind {
        NameKind::Lookup | NameKind::A => 1,
        NameKind::Ns => 2,
        NameKind::Cname => 5,
        NameKind::Soa => 6,
        NameKind::Ptr => 12,
        NameKind::Mx => 15,
        NameKind::Txt => 16,
        NameKind::Aaaa => 28,
        NameKind::Srv => 33,
        NameKind::Naptr => 35,
        NameKind::Caa => 257,
    }
}

impl Question {
    /// `None` if the text is no name.
    pub fn new(id: u16, name: &str, kind: NameKind) -> Option<Self> {
        let code = code(kind);
        let mut bytes = Vec::with_capacity(64);
        bytes.extend(id.to_be_bytes());
        // A standard query; recursion desired. One question, one additional record.
        bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        let start = bytes.len();
        for label in name.split('.') {
            if label.is_empty() || label.len() > LABEL_MAX || !label.is_ascii() {
                return None;
            }
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        if bytes.len() - start > NAME_MAX {
            return None;
        }
        bytes.extend(code.to_be_bytes());
        bytes.extend(INTERNET.to_be_bytes());
        let end = bytes.len();
        bytes.push(0);
        bytes.extend(OPT.to_be_bytes());
        bytes.extend(DATAGRAM_BYTES_MAX.to_be_bytes());
        bytes.extend([0; 6]);
        Some(Self { bytes, end, code })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What `message` says, if it is an answer to this question.
    pub fn answer(&self, message: &[u8]) -> Option<Answer> {
        let header: &[u8; 12] = message.first_chunk()?;
        let is_response = header[2] & 0x80 != 0;
        if !is_response || header[..2] != self.bytes[..2] {
            return None;
        }
        let code = header[3] & 0x0f;
        let questions = u16::from_be_bytes([header[4], header[5]]);
        if questions == 0 && code != 0 {
            // Who cannot read a question may leave it out.
            return Some(Answer::Code(code));
        }
        let asked = message.get(12..self.end)?;
        if questions != 1 || !asked.eq_ignore_ascii_case(&self.bytes[12..self.end]) {
            return None;
        }
        if header[2] & 0x02 != 0 {
            return Some(Answer::Truncated);
        }
        if code != 0 {
            return Some(Answer::Code(code));
        }
        let mut reader = Reader { message, at: self.end };
        let count = u16::from_be_bytes([header[6], header[7]]);
        let mut records = Vec::new();
        for _ in 0..count {
            match reader.record(self.code) {
                None => return Some(Answer::Damaged),
                Some(Some(record)) if records.len() < NAME_RECORDS_MAX => records.push(record),
                Some(_) => {}
            }
        }
        Some(Answer::Records(records))
    }
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.message.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn name(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut total = 1;
        let mut at = self.at;
        // Where reading goes on: after the first pointer, or the name's end.
        let mut after = None;
        loop {
            let length = usize::from(*self.message.get(at)?);
            match length >> 6 {
                0 if length == 0 => {
                    self.at = after.unwrap_or(at + 1);
                    return Some(text);
                }
                0 => {
                    total += length + 1;
                    if total > NAME_MAX {
                        return None;
                    }
                    if !text.is_empty() {
                        text.push('.');
                    }
                    push_label(&mut text, self.message.get(at + 1..at + 1 + length)?);
                    at += 1 + length;
                }
                3 => {
                    let target = (length & 0x3f) << 8 | usize::from(*self.message.get(at + 1)?);
                    // Backwards only: between two pointers lies a label, which `total` counts.
                    if target >= at {
                        return None;
                    }
                    after = after.or(Some(at + 2));
                    at = target;
                }
                _ => return None,
            }
        }
    }

    /// A text after its length.
    fn text(&mut self) -> Option<String> {
        let length = usize::from(self.u8()?);
        self.take(length).map(lossy)
    }

    /// A record; `Some(None)` if it is of another kind.
    fn record(&mut self, asked: u16) -> Option<Option<NameRecord>> {
        self.name()?;
        let (code, class) = (self.u16()?, self.u16()?);
        let ttl = self.u32()?;
        let length = usize::from(self.u16()?);
        let end = self.at.checked_add(length).filter(|end| *end <= self.message.len())?;
        if code != asked || class != INTERNET {
            self.at = end;
            return Some(None);
        }
        let data = self.data(code, end)?;
        // What is left over or missing says that it was read wrongly.
        (self.at == end).then_some(Some(NameRecord { ttl, data }))
    }

    fn data(&mut self, code: u16, end: usize) -> Option<NameData> {
        Some(match code {
            1 => NameData::Address(Ipv4Addr::from_bits(self.u32()?).into()),
            28 => {
                let octets: [u8; 16] = self.take(16)?.try_into().ok()?;
                NameData::Address(atoll_model::outbound::canonical(Ipv6Addr::from(octets).into()))
            }
            2 | 5 | 12 => NameData::Name(self.name()?),
            6 => NameData::Soa {
                nsname: self.name()?,
                hostmaster: self.name()?,
                serial: self.u32()?,
                refresh: self.u32()?,
                retry: self.u32()?,
                expire: self.u32()?,
                minttl: self.u32()?,
            },
            15 => NameData::Mx {
                priority: self.u16()?,
                exchange: self.name()?,
            },
            16 => {
                let mut texts = Vec::new();
                while self.at < end {
                    texts.push(self.text()?);
                }
                NameData::Texts(texts)
            }
            33 => NameData::Srv {
                priority: self.u16()?,
                weight: self.u16()?,
                port: self.u16()?,
                name: self.name()?,
            },
            35 => NameData::Naptr {
                order: self.u16()?,
                preference: self.u16()?,
                flags: self.text()?,
                service: self.text()?,
                regexp: self.text()?,
                replacement: self.name()?,
            },
            257 => NameData::Caa {
                flags: self.u8()?,
                tag: self.text()?,
                value: lossy(self.take(end.checked_sub(self.at)?)?),
            },
            _ => return None,
        })
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// RFC 1035 section 5.1: what would read as something else is escaped.
fn push_label(text: &mut String, label: &[u8]) {
    use std::fmt::Write;
    for byte in label {
        match byte {
            b'.' | b'\\' => text.extend(['\\', char::from(*byte)]),
            0x21..0x7f => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\{byte:03}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use atoll_stdx::SplitMix64;

    fn response(question: &Question, flags: [u8; 2], records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = question.bytes[..question.end].to_vec();
        bytes[2..4].copy_from_slice(&flags);
        bytes[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        bytes[11] = 0;
        for (code, data) in records {
            // The owner is the question's name.
            bytes.extend([0xc0, 12]);
            bytes.extend(code.to_be_bytes());
            bytes.extend([0, 1, 0, 0, 0, 60]);
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(*data);
        }
        bytes
    }

    fn read(kind: NameKind, data: &[u8]) -> Option<Answer> {
        let question = Question::new(7, "a.test", kind).unwrap();
        question.answer(&response(&question, [0x81, 0x80], &[(code(kind), data)]))
    }

    fn one(kind: NameKind, data: &[u8]) -> NameData {
        match read(kind, data) {
            Some(Answer::Records(mut records)) => {
                let record = records.pop().unwrap();
                assert_eq!((records.len(), record.ttl), (0, 60));
                record.data
            }
            other => panic!("{kind:?}: {other:?}"),
        }
    }

    #[test]
    fn names_become_questions() {
        let question = Question::new(0x1234, "a.test", NameKind::Mx).unwrap();
        assert_eq!(
            question.bytes,
            b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x01a\x04test\0\0\x0f\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0"
        );
        let label = "x".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "x".repeat(61));
        assert!(Question::new(1, &longest, NameKind::A).is_some());
        for bad in [
            "",
            "a..b",
            ".a",
            "a.",
            "caf\u{e9}",
            &format!("{label}x"),
            &format!("{longest}x"),
        ] {
            assert!(Question::new(1, bad, NameKind::A).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn records_are_read() {
        assert_eq!(one(NameKind::A, &[1, 2, 3, 4]), NameData::Address([1, 2, 3, 4].into()));
        let mut v6 = [0; 16];
        v6[15] = 1;
        assert_eq!(one(NameKind::Aaaa, &v6), NameData::Address(Ipv6Addr::LOCALHOST.into()));
        // Compressed: "mail" and the question's name.
        let exchange = "mail.a.test".to_owned();
        assert_eq!(
            one(NameKind::Mx, b"\0\x0a\x04mail\xc0\x0c"),
            NameData::Mx { priority: 10, exchange }
        );
        assert_eq!(
            one(NameKind::Ns, b"\x02ns\xc0\x0e"),
            NameData::Name("ns.test".to_owned())
        );
        assert_eq!(
            one(NameKind::Cname, b"\x03a.b\x02\x00\\\0"),
            NameData::Name("a\\.b.\\000\\\\".to_owned())
        );
        assert_eq!(
            one(NameKind::Txt, b"\x03abc\0\x02\xc3\xa9"),
            NameData::Texts(vec!["abc".to_owned(), String::new(), "\u{e9}".to_owned()])
        );
        assert_eq!(
            one(NameKind::Srv, b"\0\x01\0\x02\x1f\x90\x01h\xc0\x0c"),
            NameData::Srv {
                priority: 1,
                weight: 2,
                port: 8080,
                name: "h.a.test".to_owned()
            }
        );
        assert_eq!(
            one(NameKind::Caa, b"\x80\x05issueca.test"),
            NameData::Caa {
                flags: 128,
                tag: "issue".to_owned(),
                value: "ca.test".to_owned()
            }
        );
        assert_eq!(
            one(
                NameKind::Soa,
                b"\x02ns\xc0\x0c\x02hm\xc0\x0c\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05"
            ),
            NameData::Soa {
                nsname: "ns.a.test".to_owned(),
                hostmaster: "hm.a.test".to_owned(),
                serial: 1,
                refresh: 2,
                retry: 3,
                expire: 4,
                minttl: 5,
            }
        );
        assert_eq!(
            one(NameKind::Naptr, b"\0\x01\0\x02\x01s\x03sip\0\xc0\x0c"),
            NameData::Naptr {
                order: 1,
                preference: 2,
                flags: "s".to_owned(),
                service: "sip".to_owned(),
                regexp: String::new(),
                replacement: "a.test".to_owned(),
            }
        );
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let question = Question::new(7, "a.test", NameKind::A).unwrap();
        let good = response(&question, [0x81, 0x80], &[(5, b"\x01b\xc0\x0e"), (1, &[1, 2, 3, 4])]);
        assert!(matches!(question.answer(&good), Some(Answer::Records(records)) if records.len() == 1));
        assert_eq!(
            question.answer(&response(&question, [0x81, 0x83], &[])),
            Some(Answer::Code(3))
        );
        assert_eq!(
            question.answer(&response(&question, [0x83, 0x80], &[])),
            Some(Answer::Truncated)
        );
        assert_eq!(
            question.answer(&response(&question, [0x81, 0x80], &[])),
            Some(Answer::Records(vec![]))
        );
        // Another identifier, a question, another name, another kind.
        for (at, byte) in [(1, 8), (2, 1), (13, b'b'), (21, 2)] {
            let mut other = good.clone();
            other[at] = byte;
            assert_eq!(question.answer(&other), None, "{at}");
        }
        // Names that lead to themselves, forwards, or nowhere; data that is too short or too long.
        for (kind, data) in [
            (NameKind::Ns, &b"\xc0\x24"[..]),
            (NameKind::Ns, b"\x01a\xc0\x26"),
            (NameKind::Ns, b"\x01a\xc0\x24"),
            (NameKind::Ns, b"\xff\xff"),
            (NameKind::Ns, b"\x80"),
            (NameKind::Ns, b"\x02ns\0\0"),
            (NameKind::A, &[1, 2, 3]),
            (NameKind::A, &[1, 2, 3, 4, 5]),
            (NameKind::Txt, b"\x05abc"),
            (NameKind::Caa, b"\0\x09a"),
        ] {
            assert_eq!(read(kind, data), Some(Answer::Damaged), "{kind:?} {data:?}");
        }
    }

    #[test]
    fn damaged_answers_are_read_to_an_end() {
        let question = Question::new(7, "a.test", NameKind::Naptr).unwrap();
        let good = response(
            &question,
            [0x81, 0x80],
            &[(35, &b"\0\x01\0\x02\x01s\x03sip\0\xc0\x0c"[..]); 3],
        );
        let mut random = SplitMix64::new(7);
        for _ in 0..50_000 {
            let mut bytes = good.clone();
            for _ in 0..=random.next_u64() % 6 {
                let at = 12 + (random.next_u64() as usize) % (bytes.len() - 12);
                bytes[at] = random.next_u64() as u8;
            }
            bytes.truncate(bytes.len() - (random.next_u64() as usize % 8));
            if let Some(Answer::Records(records)) = question.answer(&bytes) {
                assert!(records.len() <= 3);
            }
        }
    }
}
