//! Runs the corpus (`corpus.toml`) and permutations of it against the client that ships.
//!
//! Everything happens inside [`network`], where each connection that is made arrives at the [`canary`], whatever its
//! address. A row is tried with a worker's policy and without any. What arrived is compared with what may arrive only
//! after every listener has accepted a connection of the runner's own: accepting goes in order, so nothing that the row
//! did can come later.

mod canary;
mod corpus;
mod generate;
pub mod network;

use atoll_egress::{AddressPolicy, Egress, EgressOptions, Listeners, OwnAddresses, Resolve, SystemResolver};
use atoll_model::{RequestId, TenantId, WorkerName};
use atoll_stdx::TaskGroup;
use atoll_worker::{
    Body, ConnectRequest, EventContext, Outbound, OutboundRequest, Redirect, Request, RequestHead, SecureTransport,
    StartTls,
};
use canary::{Canary, INNER_ONLY_ADDRESS, INNER_ONLY_PORT, PLAIN_PORTS, Seen, TLS_PORT};
use corpus::{Answers, Row, Step, Way};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Longer than any step takes, by far.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a handshake that cannot succeed is given.
const START_TLS_WAIT: Duration = Duration::from_millis(300);
/// An address that no row uses, for connections of the runner's own.
const RUNNER: &str = "127.77.77.77";

/// What a run found.
#[derive(Debug, Default)]
pub struct Report {
    /// Rows tried with the guard.
    pub rows: usize,
    /// Their steps.
    pub steps: usize,
    /// Rows that got inside without the guard.
    pub live: usize,
    /// Connections that arrived where they may, with the guard.
    pub expected: usize,
    /// Control rows that reached what is public.
    pub controls: usize,
    /// Connections that arrived where they may not, with the guard.
    pub escapes: usize,
    /// What is wrong, a line each: escapes, wrong counts, wrong outcomes, rows that show nothing.
    pub wrong: Vec<String>,
}

impl Report {
    /// Counts another run in.
    #[allow(dead_code, reason = "the campaign does, the test has one run")]
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.steps += other.steps;
        self.live += other.live;
        self.expected += other.expected;
        self.controls += other.controls;
        self.escapes += other.escapes;
        self.wrong.extend(other.wrong);
    }

    /// One line.
    pub fn summary(&self) -> String {
        format!(
            "{} rows, {} attempts, {} escapes; {} rows get inside without the guard; {} expected connections, \
             {} control rows reached",
            self.rows, self.steps, self.escapes, self.live, self.expected, self.controls
        )
    }
}

/// The whole table.
pub async fn table() -> Report {
    let (names, rows) = corpus::load();
    run(&names, rows).await
}

/// `rows` rows made from `seed`.
pub async fn permutations(seed: u64, rows: usize) -> Report {
    let (names, _) = corpus::load();
    run(&names, generate::rows(seed, rows)).await
}

async fn run(names: &Answers, rows: Vec<Row>) -> Report {
    // What certificates name: the public ones, so that what stops a connection inside is never its certificate alone.
    let certified = [
        "public.test",
        "other.test",
        "six.test",
        "flip.test",
        "93.184.216.34",
        "198.41.0.4",
    ];
    let runner = Runner {
        canary: Canary::start(&certified.map(str::to_owned)).await,
        names: names.clone(),
    };
    let mut report = Report::default();
    for row in rows {
        runner.row(&row, &mut report).await;
    }
    report
}

struct Runner {
    canary: Canary,
    names: Answers,
}

impl Runner {
    async fn row(&self, row: &Row, report: &mut Report) {
        report.rows += 1;
        report.steps += row.steps.len();
        let mut wrong = Vec::new();
        let seen = self.play(row, Some(&mut wrong)).await;
        let may: BTreeMap<SocketAddr, usize> = row.hits.clone();
        for (at, count) in &seen.connections {
            if !may.contains_key(at) {
                report.escapes += count;
                wrong.push(format!("ESCAPED to {at}, {count} times"));
            }
        }
        if seen.connections != may && wrong.is_empty() {
            wrong.push(format!("arrived: {:?}, and should have: {may:?}", seen.connections));
        }
        report.expected += seen.connections.values().sum::<usize>();
        for line in &seen.requests {
            // `Host` is the URL's, so it never names what is inside.
            let host = line.split(' ').nth(1).unwrap_or_default();
            if row.control || host.is_empty() || row.rules.allow.is_some() {
                continue;
            }
            if ["127.", "169.254.", "localhost"]
                .iter()
                .any(|inside| host.starts_with(inside))
            {
                wrong.push(format!("a public server was asked for {host}"));
            }
        }
        if row.control {
            report.controls += usize::from(wrong.is_empty());
        } else if row.live {
            let bare = self.play(row, None).await;
            let inside = bare.connections.keys().filter(|at| !may.contains_key(at)).count();
            if inside > 0 {
                report.live += 1;
            } else {
                let arrived = &bare.connections;
                wrong.push(format!(
                    "shows nothing: without the guard it gets nowhere else either: {arrived:?}"
                ));
            }
        }
        for line in wrong {
            report.wrong.push(format!("{}: {line}", row.name));
        }
    }

    /// All steps with one client; `wrong` is filled if it is guarded.
    async fn play(&self, row: &Row, mut wrong: Option<&mut Vec<String>>) -> Seen {
        let policy = match &wrong {
            Some(_) => {
                let listeners = Listeners::default();
                for listener in &row.listeners {
                    listeners.add(*listener);
                }
                AddressPolicy {
                    listeners,
                    own: match row.own.as_slice() {
                        [] => OwnAddresses::interfaces(),
                        own => OwnAddresses::fixed(own),
                    },
                    ..AddressPolicy::public()
                }
            }
            None => AddressPolicy::unguarded(),
        };
        let tasks = TaskGroup::new();
        let mut options = EgressOptions::new(policy, Handle::current(), tasks.clone());
        options.roots = self.canary.roots();
        options.resolver = Arc::new(Script::new(&self.names, &row.names));
        let mut egress = Egress::new(options);
        if wrong.is_some() {
            egress = egress.for_worker(&row.rules);
        }
        for step in &row.steps {
            let done = tokio::time::timeout(STEP_TIMEOUT, attempt(&egress, step)).await;
            let outcome = done.unwrap_or_else(|_| Err("it hangs".to_owned()));
            if let Some(wrong) = &mut wrong
                && step.ok.is_some_and(|ok| ok != outcome.is_ok())
            {
                wrong.push(format!("{} {}: {outcome:?}", step.way, step.target));
            }
        }
        drop(egress);
        tasks.drain(Duration::ZERO).await;
        self.settle().await;
        let mut seen = self.canary.take();
        let runner: IpAddr = RUNNER.parse().unwrap();
        seen.connections.retain(|at, _| at.ip() != runner);
        let inner: SocketAddr = format!("{INNER_ONLY_ADDRESS}:{INNER_ONLY_PORT}").parse().unwrap();
        let own_knock = seen.connections.get_mut(&inner).expect("the runner knocked");
        *own_knock -= 1;
        if *own_knock == 0 {
            seen.connections.remove(&inner);
        }
        seen
    }

    /// Waits until every listener has accepted all that came before.
    async fn settle(&self) {
        for port in PLAIN_PORTS.into_iter().chain([TLS_PORT]) {
            self.knock(format!("{RUNNER}:{port}").parse().unwrap()).await;
        }
        // This one has no other address: the runner's knock is counted with the rest and taken off again.
        self.knock(format!("{INNER_ONLY_ADDRESS}:{INNER_ONLY_PORT}").parse().unwrap())
            .await;
    }

    async fn knock(&self, at: SocketAddr) {
        let stream = TcpStream::connect(at).await.unwrap();
        self.canary.wait_for(stream.local_addr().unwrap()).await;
    }
}

/// One attempt; `Ok` if a response, a socket or a connection came of it.
async fn attempt(egress: &Egress, step: &Step) -> Result<(), String> {
    let target = step.target.as_str();
    match &step.way {
        Way::Connect | Way::Tls => {
            let transport = match step.way {
                Way::Tls => SecureTransport::On,
                _ => SecureTransport::Off,
            };
            connect(egress, target, transport).await.map(drop)
        }
        Way::StartTls => {
            let (target, name) = target.split_once(' ').expect("a host and a name");
            let connection = connect(egress, target, SecureTransport::StartTls).await?;
            let (reply, answer) = oneshot::channel();
            let server_name = Some(name.to_owned());
            let _ = connection.start_tls.unwrap().send(StartTls { server_name, reply });
            connection.tx.finish();
            // The canary speaks no TLS on this port and waits for more; where it was tried is what counts.
            let _ = tokio::time::timeout(START_TLS_WAIT, answer).await;
            Ok(())
        }
        way => fetch(egress, way, target).await,
    }
}

async fn connect(
    egress: &Egress,
    target: &str,
    transport: SecureTransport,
) -> Result<atoll_worker::Connection, String> {
    let (host, port) = target.rsplit_once(':').expect("host:port");
    let request = ConnectRequest {
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: port.parse().expect("a port"),
        transport,
        server_name: None,
    };
    egress.connect(&context(), request).await.map_err(|error| error.message)
}

async fn fetch(egress: &Egress, way: &Way, target: &str) -> Result<(), String> {
    let (mut method, mut body, mut redirect) = (Method::GET, Body::Empty, Redirect::Follow);
    let mut headers = HeaderMap::new();
    match way {
        Way::Post => (method, body) = (Method::POST, Body::from("body")),
        Way::Manual => redirect = Redirect::Manual,
        Way::Error => redirect = Redirect::Error,
        Way::Method(name) => method = Method::from_bytes(name.as_bytes()).unwrap(),
        Way::Header(name, value) => {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        _ => {}
    }
    let head = RequestHead {
        method,
        url: target.to_owned(),
        headers,
        protocol: "",
        tls_version: "",
        client: None,
        peer: None,
        upgrade_websocket: *way == Way::WebSocket,
        cf: None,
    };
    let request = OutboundRequest {
        request: Request {
            head: Box::new(head),
            body,
        },
        redirect,
        redirects_max: 20,
    };
    let response = egress.fetch(&context(), request).await.map_err(|error| error.message)?;
    if *way == Way::WebSocket && response.websocket.is_none() {
        return Err(format!("no WebSocket, but {}", response.head.status));
    }
    response
        .body
        .collect(1 << 20)
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}

fn context() -> EventContext {
    EventContext {
        tenant: TenantId::new("t"),
        worker: WorkerName::new("hostile"),
        request_id: RequestId(1),
        cancel: Default::default(),
        trace: None,
        version: Default::default(),
        entry: atoll_worker::Entry::default(),
        route: None,
    }
}

/// How often a name was asked for, and its answers in their order.
type Told = (usize, Vec<Vec<IpAddr>>);

/// Answers from the corpus, question after question; whatever it does not name is the machine's affair.
struct Script {
    names: Mutex<HashMap<String, Told>>,
    system: SystemResolver,
}

impl Script {
    fn new(all: &Answers, own: &Answers) -> Self {
        let names = all.iter().chain(own);
        let names = names.map(|(name, answers)| (name.clone(), (0, answers.clone())));
        Self {
            names: Mutex::new(names.collect()),
            system: SystemResolver::default(),
        }
    }
}

#[async_trait::async_trait]
impl Resolve for Script {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if let Some((asked, answers)) = self.names.lock().unwrap().get_mut(&name) {
            let answer = answers[(*asked).min(answers.len() - 1)].clone();
            *asked += 1;
            return Ok(answer);
        }
        self.system.resolve(host).await
    }
}
