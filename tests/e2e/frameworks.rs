//! Applications of the frameworks, built by their own tools (`tests/frameworks`, `cargo xtask test` builds them) and served
//! unchanged: pages, forms, sessions, streams, assets, prerendered pages, errors.

use super::start;
use crate::runner::client;
use crate::runner::format::Protocol;
use crate::runner::server::{Server, repository};
use anyhow::{Context, Result, bail};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;

/// Frameworks take an agent they do not know for a robot, and do not stream to it.
const AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36";

/// A browser that keeps cookies.
struct Visitor {
    server: Server,
    cookies: Vec<(String, String)>,
}

struct Page {
    status: u16,
    headers: HeaderMap,
    text: String,
    /// How many pieces the body came in.
    pieces: Vec<String>,
}

impl Visitor {
    async fn on(project: &str) -> Result<(Self, tempfile::TempDir)> {
        let directory = repository().join("tests/frameworks").join(project);
        let state = tempfile::tempdir()?;
        let server = Server::start(&start(&directory, state.path())?).await?;
        let visitor = Self {
            server,
            cookies: Vec::new(),
        };
        Ok((visitor, state))
    }

    async fn send(&mut self, method: Method, path: &str, kind: &str, body: &str) -> Result<Page> {
        let address = self.server.address;
        let mut request = http::Request::builder()
            .method(method.clone())
            .uri(path)
            .header("host", address.to_string())
            .header("accept", "text/html,application/json")
            .header("user-agent", AGENT);
        if method != Method::GET {
            request = request
                .header("origin", format!("http://{address}"))
                .header("content-type", kind);
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request = request.header("cookie", pairs.join("; "));
        }
        let request = request.body(client::whole(body.as_bytes().to_vec()))?;
        let answer = client::send(address, Protocol::Http1, request).await?;
        let (head, mut body) = answer.response.into_parts();
        for cookie in head.headers.get_all("set-cookie") {
            let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').with_context(|| format!("set-cookie: {pair}"))?;
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                pieces.push(String::from_utf8_lossy(&data).into_owned());
            }
        }
        Ok(Page {
            status: head.status.as_u16(),
            headers: head.headers,
            text: pieces.concat(),
            pieces,
        })
    }

    async fn get(&mut self, path: &str) -> Result<Page> {
        self.send(Method::GET, path, "", "").await
    }

    async fn post(&mut self, path: &str, form: &str) -> Result<Page> {
        self.send(Method::POST, path, "application/x-www-form-urlencoded", form)
            .await
    }

    /// A GET that must answer `status` and contain all of `texts`.
    async fn expect(&mut self, path: &str, status: u16, texts: &[&str]) -> Result<Page> {
        let page = self.get(path).await?;
        self.check(path, &page, status, texts)?;
        Ok(page)
    }

    fn check(&self, path: &str, page: &Page, status: u16, texts: &[&str]) -> Result<()> {
        let missing: Vec<_> = texts.iter().filter(|text| !page.text.contains(**text)).collect();
        if page.status != status || !missing.is_empty() {
            bail!(
                "{path} is {}, expected {status}; it lacks {missing:?}:\n{}\n{}",
                page.status,
                page.text,
                self.server.lines.since(0).join("\n")
            );
        }
        Ok(())
    }

    /// A form that sets a name and redirects; then the page shows the name. Without a name: 400.
    async fn form(&mut self, path: &str) -> Result<()> {
        self.expect(path, 200, &["signed in as nobody"]).await?;
        let page = self.post(path, "name=Ada").await?;
        if !(300..400).contains(&page.status) {
            self.check(path, &page, 303, &[])?;
        }
        self.expect(path, 200, &["signed in as Ada"]).await?;
        let page = self.post(path, "name=").await?;
        self.check(path, &page, 400, &["a name is needed"])
    }

    async fn echo(&mut self) -> Result<()> {
        let path = "/api/echo?q=2";
        let page = self.send(Method::POST, path, "application/json", "{\"a\":1}").await?;
        let value: serde_json::Value = serde_json::from_str(&page.text).with_context(|| page.text.clone())?;
        if page.status != 200 || value != serde_json::json!({ "echo": { "a": 1 }, "query": "2" }) {
            bail!("{path} is {} {}", page.status, page.text);
        }
        Ok(())
    }

    /// What is ready comes at once, in a piece of its own, before the rest.
    async fn stream(&mut self, path: &str) -> Result<()> {
        let page = self.expect(path, 200, &["first", "later"]).await?;
        let first = page.pieces.iter().position(|piece| piece.contains("first"));
        let later = page.pieces.iter().position(|piece| piece.contains("later"));
        if first >= later {
            bail!("{path} did not stream: {:#?}", page.pieces);
        }
        Ok(())
    }

    async fn asset(&mut self) -> Result<()> {
        let page = self.expect("/robots.txt", 200, &["User-agent"]).await?;
        if !page.headers.contains_key("etag") {
            bail!("/robots.txt has no etag: {:?}", page.headers);
        }
        Ok(())
    }

    async fn end(mut self) -> Result<()> {
        self.server.stop().await
    }
}

pub async fn sveltekit() -> Result<()> {
    let (mut visitor, _state) = Visitor::on("sveltekit").await?;
    let texts = [
        "SvelteKit on Atoll",
        "visits: 1",
        "hello from vars",
        "127.0.0.1",
        "object",
    ];
    visitor.expect("/", 200, &texts).await?;
    visitor.expect("/", 200, &["visits: 2"]).await?;
    visitor.form("/form").await?;
    visitor.stream("/stream").await?;
    visitor.expect("/about", 200, &["About, prerendered"]).await?;
    visitor.echo().await?;
    visitor.expect("/api/echo", 500, &["Internal Error"]).await?;
    visitor.expect("/nothing", 404, &["Not Found"]).await?;
    visitor.asset().await?;
    visitor.end().await
}

pub async fn astro() -> Result<()> {
    let (mut visitor, _state) = Visitor::on("astro").await?;
    let texts = ["Astro on Atoll", "visits: 1", "hello from vars", "127.0.0.1", "later"];
    visitor.expect("/", 200, &texts).await?;
    // The session is kept in KV.
    visitor.expect("/", 200, &["visits: 2"]).await?;
    visitor.form("/form").await?;
    visitor.stream("/slow").await?;
    visitor.expect("/about/", 200, &["About, prerendered"]).await?;
    visitor.echo().await?;
    visitor.expect("/nothing", 404, &["Nothing here"]).await?;
    visitor.asset().await?;
    visitor.end().await
}

pub async fn react_router() -> Result<()> {
    let (mut visitor, _state) = Visitor::on("react-router").await?;
    let texts = ["React Router on Atoll", "hello from vars"];
    visitor.expect("/", 200, &texts).await?;
    visitor.form("/form").await?;
    visitor.stream("/stream").await?;
    visitor.echo().await?;
    visitor.expect("/nothing", 404, &["404"]).await?;
    visitor.asset().await?;
    visitor.end().await
}

pub async fn tanstack() -> Result<()> {
    let (mut visitor, _state) = Visitor::on("tanstack").await?;
    let texts = ["TanStack Start on Atoll", "hello from vars", "visits: 1"];
    visitor.expect("/", 200, &texts).await?;
    visitor.expect("/", 200, &["visits: 2"]).await?;
    visitor.form("/form").await?;
    visitor.stream("/stream").await?;
    visitor.echo().await?;
    visitor.expect("/nothing", 404, &["Nothing here"]).await?;
    visitor.asset().await?;
    visitor.end().await
}

pub async fn nitro() -> Result<()> {
    let (mut visitor, _state) = Visitor::on("nitro").await?;
    let texts = ["Nitro on Atoll", "visits: 1", "hello from vars"];
    visitor.expect("/", 200, &texts).await?;
    visitor.expect("/", 200, &["visits: 2"]).await?;
    visitor.form("/form").await?;
    visitor.stream("/stream").await?;
    visitor.echo().await?;
    visitor.expect("/cached", 200, &["\"calls\":1"]).await?;
    visitor.expect("/cached", 200, &["\"calls\":1"]).await?;
    visitor
        .expect("/nothing", 404, &["Cannot find any route matching"])
        .await?;
    visitor.asset().await?;
    visitor.end().await
}

/// Next.js as OpenNext builds it: what needs no R2, D1 or durable object.
pub async fn next() -> Result<()> {
    let (mut visitor, _state) = Visitor::on("next").await?;
    visitor
        .expect("/", 200, &["Next.js on Atoll", "signed in as nobody"])
        .await?;
    visitor.cookies.push(("name".to_owned(), "Ada".to_owned()));
    visitor.expect("/", 200, &["signed in as Ada"]).await?;
    visitor.stream("/stream").await?;
    visitor.expect("/about", 200, &["About, prerendered"]).await?;
    visitor.echo().await?;
    visitor.expect("/nothing", 404, &["404"]).await?;
    visitor.asset().await?;
    visitor.end().await
}
