//! Questions about names: [`NameKind::Lookup`] as connections are resolved, all others to the machine's name servers.
//!
//! A question goes over UDP from a port of its own with an identifier that cannot be guessed; an answer counts only from the
//! server that was asked, with that identifier and the same question. One that does not fit a datagram is asked for again
//! over TCP. Servers are asked one after the other, twice, within [`crate::Timeouts::resolve`]; a name server that fails or
//! refuses is as one that is silent, unless it was the last.
//!
//! Addresses are told only as far as [`AddressPolicy::may_tell`] says. So is the name of an address (PTR). What is left out leaves
//! the same error as a name that does not exist.

mod message;

use crate::exchange::Exchange;
use crate::limits::{NAME_QUESTIONS_MAX, NAME_ROUNDS, NAME_SERVER_TIMEOUT, NAME_SERVERS_MAX};
use crate::policy::AddressPolicy;
use atoll_model::outbound::canonical;
use atoll_worker::names::NAME_BYTES_MAX;
use atoll_worker::{NameData, NameError, NameErrorKind, NameKind, NameQuestion, NameRecord};
use message::{Answer, Question};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Where resolv.conf(5) has the addresses of name servers.
const CONFIGURATION: &str = "/etc/resolv.conf";
/// The port of the protocol.
const PORT: u16 = 53;
/// Larger than any datagram that is asked for.
const DATAGRAM_BYTES: usize = 4096;

/// The machine's name servers, as workers may ask them.
pub(crate) struct Names {
    servers: Option<Vec<SocketAddr>>,
    questions: Semaphore,
}

impl Names {
    pub fn new(servers: Option<Vec<SocketAddr>>) -> Self {
        Self {
            servers,
            questions: Semaphore::new(NAME_QUESTIONS_MAX),
        }
    }

    /// What a worker with `policy` may know of the answer.
    pub async fn answer(
        &self,
        exchange: &Exchange,
        policy: &AddressPolicy,
        question: &NameQuestion,
    ) -> Result<Vec<NameRecord>, NameError> {
        let name = question.name.strip_suffix('.').unwrap_or(&question.name);
        let fails = |kind: NameErrorKind, why: &str| NameError::new(kind, format!("{}: {why}", question.name));
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(fails(NameErrorKind::BadName, "this is no name"));
        }
        let within = exchange.timeouts.resolve;
        let asked = async {
            let _place = self.questions.acquire().await;
            if question.kind == NameKind::Lookup {
                let found = exchange.resolver.resolve(name).await;
                let found = found.map_err(|reason| fails(NameErrorKind::NotFound, &reason))?;
                let record = |address| NameRecord {
                    ttl: 0,
                    data: NameData::Address(canonical(address)),
                };
                return Ok(found.into_iter().map(record).collect());
            }
            if question.kind == NameKind::Ptr
                && let Some(address) = pointed(name)
            {
                if !policy.may_tell(name, canonical(address)) {
                    return Err(fails(NameErrorKind::NotFound, "there is no such name"));
                }
            } else if !policy.may_ask() {
                return Err(fails(
                    NameErrorKind::Refused,
                    "a worker that may reach only some addresses asks for no records",
                ));
            }
            self.records(name, question.kind).await
        };
        let mut records: Vec<NameRecord> = timeout(within, asked)
            .await
            .map_err(|_| fails(NameErrorKind::TimedOut, &format!("no answer within {within:?}")))??;
        if records.is_empty() {
            return Err(fails(NameErrorKind::NoData, "the name has no such records"));
        }
        records.retain(|record| match record.data {
            NameData::Address(address) => policy.may_tell(name, address),
            _ => true,
        });
        if records.is_empty() {
            return Err(fails(NameErrorKind::NotFound, "there is no such name"));
        }
        Ok(records)
    }

    async fn records(&self, name: &str, kind: NameKind) -> Result<Vec<NameRecord>, NameError> {
        let fails = |kind: NameErrorKind, why: &str| NameError::new(kind, format!("{name}: {why}"));
        let servers = match &self.servers {
            Some(servers) => servers.clone(),
            None => configured(&tokio::fs::read_to_string(CONFIGURATION).await.unwrap_or_default()),
        };
        let mut failed = fails(NameErrorKind::Unreachable, "no name server was reached");
        for _ in 0..NAME_ROUNDS {
            for server in &servers {
                let question = Question::new(identifier(), name, kind)
                    .ok_or_else(|| fails(NameErrorKind::BadName, "this is no name"))?;
                failed = match timeout(NAME_SERVER_TIMEOUT, ask(*server, &question)).await {
                    Ok(Ok(Answer::Records(records))) => return Ok(records),
                    Ok(Ok(Answer::Code(3))) => return Err(fails(NameErrorKind::NotFound, "there is no such name")),
                    Ok(Ok(Answer::Code(code))) => match code {
                        1 => fails(NameErrorKind::Malformed, "the name server finds the question malformed"),
                        4 => fails(
                            NameErrorKind::NotImplemented,
                            "the name server does not know such questions",
                        ),
                        5 => fails(NameErrorKind::Refused, "the name server refuses"),
                        _ => fails(
                            NameErrorKind::ServerFailed,
                            &format!("the name server failed (code {code})"),
                        ),
                    },
                    Ok(Ok(Answer::Truncated | Answer::Damaged)) => {
                        fails(NameErrorKind::BadResponse, "the name server's answer makes no sense")
                    }
                    Ok(Err(error)) => fails(NameErrorKind::Unreachable, &format!("the name server: {error}")),
                    Err(_) => fails(NameErrorKind::TimedOut, "the name server is silent"),
                };
            }
        }
        Err(failed)
    }
}

/// The address whose name a PTR question asks for (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn pointed(name: &str) -> Option<IpAddr> {
    let name = name.to_ascii_lowercase();
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        let mut parts: Vec<&str> = octets.split('.').collect();
        parts.reverse();
        return parts.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let nibbles = name.strip_suffix(".ip6.arpa")?;
    let mut bits: u128 = 0;
    let mut count = 0;
    for nibble in nibbles.split('.').rev() {
        if nibble.len() != 1 || count == 32 {
            return None;
        }
        bits = bits << 4 | u128::from(nibble.chars().next()?.to_digit(16)?);
        count += 1;
    }
    (count == 32).then(|| Ipv6Addr::from_bits(bits).into())
}

/// The servers of a resolv.conf(5); without any, this machine, as the page says.
fn configured(text: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = (words.next()? == "nameserver").then(|| words.next())??;
        // Link-local addresses name their interface.
        let (address, scope) = address.split_once('%').unwrap_or((address, ""));
        match address.parse().ok()? {
            IpAddr::V6(v6) if !scope.is_empty() => {
                let index = std::ffi::CString::new(scope).ok()?;
                // SAFETY: a text that ends with zero, and lives.
                let index = unsafe { libc::if_nametoindex(index.as_ptr()) };
                Some(std::net::SocketAddrV6::new(v6, PORT, 0, index).into())
            }
            address => Some(SocketAddr::new(address, PORT)),
        }
    };
    let servers: Vec<SocketAddr> = text.lines().filter_map(server).take(NAME_SERVERS_MAX).collect();
    if servers.is_empty() {
        vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT)]
    } else {
        servers
    }
}

/// What nobody who does not see the question can guess.
fn identifier() -> u16 {
    let mut bytes = [0; 2];
    // Without the operating system's random bytes TLS would not work either; the port still has to be guessed.
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let _ = provider.secure_random.fill(&mut bytes);
    u16::from_be_bytes(bytes)
}

async fn ask(server: SocketAddr, question: &Question) -> io::Result<Answer> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question.bytes()).await?;
    let mut datagram = vec![0; DATAGRAM_BYTES];
    loop {
        let length = socket.recv(&mut datagram).await?;
        // Anything else is not the answer; it may still come.
        match question.answer(&datagram[..length]) {
            None => {}
            Some(Answer::Truncated) => return ask_in_full(server, question).await,
            Some(answer) => return Ok(answer),
        }
    }
}

/// RFC 7766: each message after its length.
async fn ask_in_full(server: SocketAddr, question: &Question) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    // A question has at most 300 bytes.
    let length = question.bytes().len() as u16;
    stream
        .write_all(&[&length.to_be_bytes()[..], question.bytes()].concat())
        .await?;
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(question.answer(&message).unwrap_or(Answer::Damaged))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_a_configuration() {
        let text = "# ours\nsearch a.test\nnameserver 10.0.0.1\n nameserver\t::1 \nnameserver nonsense\nnameserver 1.1.1.1\nnameserver 9.9.9.9\n";
        let servers: Vec<String> = configured(text).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1:53", "[::1]:53", "1.1.1.1:53"]);
        assert_eq!(configured("").len(), 1);
    }

    #[test]
    fn addresses_of_pointers() {
        assert_eq!(pointed("4.3.2.1.in-addr.arpa"), Some([1, 2, 3, 4].into()));
        assert_eq!(pointed("3.2.1.IN-ADDR.ARPA"), None);
        let one = format!("1.{}ip6.arpa", "0.".repeat(31));
        assert_eq!(pointed(&one), Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(pointed("1.0.ip6.arpa"), None);
        assert_eq!(pointed("example.com"), None);
    }
}
