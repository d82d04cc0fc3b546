//! Valid examples and words of the formats that the engine parses.

use atoll_stdx::fuzz::Inputs;
use flate2::Compression;
use std::io::Write as _;

/// The type in the first line, the body from the second on.
pub const MULTIPART: Inputs = Inputs::new(
    &[
        b"multipart/form-data; boundary=B\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--\r\n",
        b"multipart/form-data; boundary=\"B\"\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\nbody\n\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ntwo\r\nlines\r\n--B--",
        b"application/x-www-form-urlencoded\na=1&b=%C3%A9&c=+",
        b"Multipart/Form-Data; charset=x; boundary=----formdata-0\npre\r\n------formdata-0  \r\ncontent-disposition: form-data; filename=b; name=a\r\n\r\n\r\n------formdata-0--",
    ],
    &[
        "multipart/form-data", "; boundary=", "B", "--B", "--B--", "\r\n", "\r\n\r\n", "\r\n--B\r\n", "Content-Disposition: form-data",
        "; name=\"a\"", "; filename=\"f\"", "Content-Type: ", "text/plain", "\"", ";", "=", "%22", "%0D%0A", "é", "filename*=utf-8''x", "--",
    ],
);
pub const QUERY: Inputs = Inputs::new(
    &[b"a=1&b=%C3%A9&c=+&=&&d", b"?x[]=1&x[]=2#h", b"a=%00%ff%&%=1"],
    &[
        "&", "=", "%", "+", "%26", "%3D", "#", "?", ";", "%C3", "a", "'", "~", "*",
    ],
);
/// Fields, a line each.
pub const HEADERS: Inputs = Inputs::new(
    &[
        b"content-type: text/html\nset-cookie: a=1; Path=/; HttpOnly\nset-cookie: b=2\nX-A: 1\nx-a: 2",
        b"cookie: a=1; b=\"2\"; c\nAccept: */*",
        b"x-latin: \xe9\nempty:\nv:   blanks\t ",
    ],
    &[
        "set-cookie: ",
        "cookie: ",
        "a=1",
        "; ",
        "Path=/",
        "Expires=Wed, 21 Oct 2026 07:28:00 GMT",
        ":",
        "\n",
        "x-a: ",
        ", ",
        "\r",
        "\u{7f}",
        "__proto__: 1",
    ],
);
/// Pattern, base and URL, a line each.
pub const PATTERNS: Inputs = Inputs::new(
    &[
        b"/books/:id(\\d+)?\nhttps://a.test\nhttps://a.test/books/7",
        b"https://*.test/*.:ext{/:more}*\n\nhttps://b.test/x.js/y",
        b"http{s}?://:sub.a.test:8080/x\\:y?q=:q#:h\n\nhttp://z.a.test:8080/x:y?q=1#2",
        b"https://[::1]/{a}+\n\nhttps://[::1]/aa",
    ],
    &[
        ":a", "*", "?", "+", "{", "}", "(", ")", "(\\d)", "([a-z]x)", "/", ":", "\\", "https", "://", ".", "#", "\n",
        "a.test", "[", "]", "(?:x)", "^", "$", "%2f", "é",
    ],
);
/// URL and base, a line each.
pub const URLS: Inputs = Inputs::new(
    &[
        b"https://user:pass@host.test:8080/p/a/t/h?query=string#hash",
        b"../x?y#z\nhttps://a.test/b/c/d",
        b"file:///C|/x/..",
        b"http://0x7f.1/%2e%2e/\\x",
        b"http://b\xc3\xbccher.test/",
        b"//[2001:db8::1]:443/\nhttps:",
    ],
    &[
        "http", "https", "file", "ws", "data", "blob", ":", "/", "//", "\\", "@", "?", "#", "[", "]", "::", "..",
        "%2e", "%", "\t", "\n", "xn--", "\u{ad}", "\u{ff0e}", "0x", "127.1", "|", "é",
    ],
);
/// A value, one instruction a byte.
pub const VALUES: Inputs = Inputs::new(
    &[
        b"\x13\x03\x03\x01\x07\x01\x11\x02\x06\x03abc\x03\x01\x03\x02\x10\x00",
        b"\x15\x02\x01a\x0a\x00\x00\x01b\x0b\x0412345",
        b"\x12\x02\x0c\x00\x04\x0d\x10\x13\x01\x10\x00",
        b"\x08\x02\x20",
    ],
    &[
        "\u{13}\u{2}",
        "\u{11}\u{1}",
        "\u{12}\u{1}",
        "\u{15}\u{1}\u{1}a",
        "\u{10}\u{0}",
        "\u{f}",
        "\u{14}",
        "\u{c}\u{1}\u{3}",
    ],
);
/// What stands behind `data:`.
pub const DATA_URLS: Inputs = Inputs::new(
    &[
        b"text/plain;charset=utf-8,hi%20there#f",
        b"text/html;base64,PGI+aGk8L2I+",
        b" a/b ; x=\"y,z\" ; base64 , a G k =",
        b",%zz%41%4",
        b";charset=x,\xc3\xa9",
    ],
    &[
        ",",
        ";",
        "base64",
        ";base64",
        ";base64,",
        " ",
        "%",
        "%2",
        "%2C",
        "%20",
        "=",
        "==",
        "text/plain",
        "charset=",
        "\"",
        "\\",
        "#",
        "?",
        "\t",
        "\n",
        "/",
        "A",
        "AAAA",
        "é",
        "%F0%9F%98%80",
        "%00",
        "BASE64",
    ],
);
/// The request's cookies in the first line, the response's in the others.
pub const COOKIES: Inputs = Inputs::new(
    &[
        b"a=1; b=\"2\"; c\na=1; Path=/; HttpOnly\nb=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT",
        b"__Host-a=%20; =x;; a=b=c\n=; \n",
        b"x=\xe9\nx=\xe9; SameSite=None; Partitioned",
    ],
    &[
        "=",
        ";",
        "; ",
        ",",
        ", ",
        "a=1",
        "\"",
        "\n",
        "\r",
        "\u{0}",
        "\u{7f}",
        "\t",
        " ",
        "Path=/",
        "Max-Age=-1",
        "Domain=.a.test",
        "Secure",
        "é",
        "__proto__=1",
    ],
);
pub const BASE64: Inputs = Inputs::new(
    &[
        b"aGVsbG8gd29ybGQ=",
        b"aGVsbG8",
        b"_-8",
        b"deadBEEF0",
        b" a G V s\n b G 8 = ",
    ],
    &[
        "=", "==", "-", "_", "+", "/", "A", "AA", "AAA", "AAAA", " ", "\n", "*", "é", "0f", "g",
    ],
);
pub const TEXT: Inputs = Inputs::new(
    &[
        "hé\u{20ac}\u{1f600}".as_bytes(),
        b"\xef\xbb\xbfbom",
        b"\xf0\x9f\x98\xff\xc0\xaf\xed\xa0\x80",
    ],
    &["a", "é", "\u{20ac}", "\u{1f600}", "\u{feff}", "\u{fffd}"],
);
pub const MIME: Inputs = Inputs::new(
    &[
        b"text/html;charset=utf-8",
        b"multipart/form-data; boundary=\"a\\\"b\"; x=y",
        b" a/b ; c = d;;e=\"\"",
    ],
    &[
        "/",
        ";",
        "=",
        "\"",
        "\\",
        "a",
        "text/plain",
        "charset",
        " ",
        "\t",
        "é",
        ";a=b",
    ],
);
pub const HTML: Inputs = Inputs::new(
    &[
        b"<!doctype html><html><body class=\"a\" id=b>text<!-- c --><p>x</p><br/></body></html>",
        b"<script>var a = '</p>';</script><style>a{}</style><textarea><b></textarea><svg><a/></svg>",
        b"<a href='x' href=\"y\" data-\xc3\xa9>&amp;&lt</a><![CDATA[x]]><?php x ?>",
        b"<table><tr><td>1</td></tr></table><select><option>1</select><template><p></template>",
    ],
    &[
        "<",
        ">",
        "</",
        "/>",
        "<p",
        "<!--",
        "-->",
        "--!>",
        "<!doctype",
        "<script>",
        "</script>",
        "<title>",
        "<svg>",
        "<math>",
        "<![CDATA[",
        "]]>",
        "=",
        "\"",
        "'",
        " ",
        "&",
        "&amp;",
        "<plaintext>",
        "<template>",
        "é",
        "\u{0}",
    ],
);
pub const EVENTS: Inputs = Inputs::new(
    &[
        b"data: 1\n\ndata: 2\ndata: 3\n\n",
        b"\xef\xbb\xbf: comment\r\nevent: x\r\nid: 7\r\ndata:a\r\n\r\nretry: 10\r\rdata\r\r",
        b"id: \xc3\xa9\ndata: \xe2\x82\xac\n\nevent: x\ndata:\n\n",
    ],
    &[
        "data: ", "data", "event: x", "id: ", "retry: ", ":", "\n", "\r", "\r\n", "\n\n", "1", "é", "\u{20ac}",
        "\u{feff}", "\u{0}",
    ],
);
/// "hello hello hello hello", made by the `brotli` command, and an empty stream.
pub const BROTLI: Inputs = Inputs::new(
    &[
        b"\x1b\x16\x00\x00\xa4\xb0\xb2\xea\x81\x47\x02\x8a",
        b"\x3b",
        b"\x0b\x02\x80hello\x03",
    ],
    &["\u{3}", "\u{1b}", "\u{b}", "\u{6}"],
);

/// What stands around deflated bytes.
#[derive(Clone, Copy)]
pub enum Format {
    Zlib,
    Gzip,
    Raw,
}

/// Examples made by another compressor than the engine's.
pub fn deflated(format: Format) -> Inputs {
    let texts: [&[u8]; 4] = [
        b"",
        b"hello hello hello hello",
        &[b'x'; 40_000],
        include_bytes!("inputs.rs"),
    ];
    let mut examples: Vec<&'static [u8]> = Vec::new();
    for text in texts {
        for level in [Compression::none(), Compression::fast(), Compression::best()] {
            let text = &text[..text.len().min(40_000)];
            let made = match format {
                Format::Zlib => {
                    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                    encoder.write_all(text).and_then(|()| encoder.finish())
                }
                Format::Gzip => {
                    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                    encoder.write_all(text).and_then(|()| encoder.finish())
                }
                Format::Raw => {
                    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
                    encoder.write_all(text).and_then(|()| encoder.finish())
                }
            };
            // A vector takes all that is written.
            let made = made.unwrap_or_default();
            if made.len() <= 8192 {
                // Inputs live as long as the program.
                examples.push(made.leak());
            }
        }
    }
    Inputs {
        examples: examples.leak(),
        words: &["\u{0}", "\u{1f}", "\u{8}", "x", "\u{1}"],
        bytes_max: 8192,
    }
}
