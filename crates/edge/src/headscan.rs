//! Finds in a request's head what two parsers could read in two ways, before ours reads it.
//!
//! The HTTP library is safe with both `Transfer-Encoding` and `Content-Length` (the former counts, the connection ends
//! with the response, as RFC 9112 section 6.3 allows) but hides the latter; that section's other choice, to refuse, is
//! ours. Repeated lengths and line feeds without a carriage return are refused, too. Refused means: the offending byte
//! becomes a NUL, which no header line may hold, and the library answers 400 and closes.
//!
//! Heads are scanned that begin with a read while nothing is in flight. One that was pipelined behind a request goes by
//! unscanned, and so does what follows a body that nobody read; the library's safe choice stands for them.

const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";
const CONTENT_LENGTH: &[u8] = b"content-length";
const NAME_BYTES: usize = TRANSFER_ENCODING.len() + 1;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// Nothing read yet.
    #[default]
    Start,
    /// The request line, or the value of a header.
    Rest,
    /// A header's name.
    Name,
    /// Past the head.
    End,
}

/// The scan of one head, over as many reads as it takes.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    at: At,
    name: [u8; NAME_BYTES],
    name_len: usize,
    /// The last byte read.
    last: u8,
    transfer_encoding: bool,
    content_length: bool,
}

impl HeadScan {
    pub(crate) fn is_new(&self) -> bool {
        self.at == At::Start
    }

    /// Scans the next bytes and spoils what is ambiguous.
    pub(crate) fn read(&mut self, bytes: &mut [u8]) {
        let mut index = 0;
        while let Some(&byte) = bytes.get(index) {
            match self.at {
                At::End => return,
                // An empty line before the request line is allowed (RFC 9112 section 2.2).
                At::Start => {
                    if byte != b'\r' && byte != b'\n' {
                        self.at = At::Rest;
                    }
                }
                At::Rest => {
                    let Some(offset) = bytes[index..].iter().position(|byte| *byte == b'\n') else {
                        self.last = bytes[bytes.len() - 1];
                        return;
                    };
                    let end = index + offset;
                    let before = if offset > 0 { bytes[end - 1] } else { self.last };
                    if before != b'\r' {
                        bytes[end] = 0;
                    }
                    self.at = At::Name;
                    self.name_len = 0;
                    index = end;
                }
                At::Name => match byte {
                    b'\n' => {
                        if self.last != b'\r' {
                            bytes[index] = 0;
                        }
                        // A carriage return alone is the head's last line. A line without a colon is the library's to
                        // refuse.
                        if self.name_len <= 1 {
                            self.at = At::End;
                        }
                        self.name_len = 0;
                    }
                    b':' => {
                        if self.is_ambiguous() {
                            bytes[index] = 0;
                        }
                        self.at = At::Rest;
                    }
                    _ => {
                        if let Some(slot) = self.name.get_mut(self.name_len) {
                            *slot = byte.to_ascii_lowercase();
                            self.name_len += 1;
                        }
                    }
                },
            }
            self.last = bytes[index];
            index += 1;
        }
    }

    fn is_ambiguous(&mut self) -> bool {
        match &self.name[..self.name_len] {
            TRANSFER_ENCODING => {
                self.transfer_encoding = true;
                self.content_length
            }
            CONTENT_LENGTH => {
                let again = self.content_length;
                self.content_length = true;
                again || self.transfer_encoding
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `head` is spoilt, however it is cut into two reads.
    fn check(head: &str, spoilt: bool) {
        for cut in 0..=head.len() {
            let mut scan = HeadScan::default();
            let (mut first, mut second) = (head.as_bytes()[..cut].to_vec(), head.as_bytes()[cut..].to_vec());
            scan.read(&mut first);
            scan.read(&mut second);
            let read = [first, second].concat();
            assert_eq!(read.contains(&0), spoilt, "{head:?} cut at {cut}");
            if !spoilt {
                assert_eq!(read, head.as_bytes());
            }
        }
    }

    #[test]
    fn ambiguous_heads_are_spoilt() {
        check(
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            true,
        );
        check(
            "POST / HTTP/1.1\r\nTRANSFER-ENCODING: chunked\r\ncontent-length: 3\r\n\r\n",
            true,
        );
        check(
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            true,
        );
        check("GET / HTTP/1.1\nHost: a\r\n\r\n", true);
        check("GET / HTTP/1.1\r\nHost: a\n\r\n", true);
        check("GET / HTTP/1.1\r\nHost: a\r\n\n", true);
    }

    #[test]
    fn plain_heads_and_bodies_pass() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false);
        check("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", false);
        check(
            "POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nTransfer-Encoding: x\nContent-Length: 1\n",
            false,
        );
        check(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-Content-Length: 1\r\n\r\n",
            false,
        );
        check(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length-X: 1\r\n\r\n",
            false,
        );
        check(
            "GET /Content-Length: HTTP/1.1\r\nA: Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
            false,
        );
        check("", false);
        check("nonsense", false);
    }
}
