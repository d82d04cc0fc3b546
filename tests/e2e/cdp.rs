//! A debugging client: the Chrome DevTools Protocol over a WebSocket, and source maps as such clients read them.

use crate::runner::DEADLINE;
use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::VecDeque;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// A connected client.
pub struct Cdp {
    socket: WebSocketStream<TcpStream>,
    next: i64,
    /// Events that nobody has waited for yet.
    events: VecDeque<Value>,
    /// Answers that nobody has waited for yet.
    answers: Vec<Value>,
}

impl Cdp {
    /// Connects to a worker.
    pub async fn connect<R: IntoClientRequest + Unpin>(request: R) -> Result<Self> {
        let request = request.into_client_request()?;
        let address = request.uri().authority().context("no address")?.to_string();
        let stream = TcpStream::connect(address).await?;
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Self {
            socket,
            next: 1,
            events: VecDeque::new(),
            answers: Vec::new(),
        })
    }

    async fn read(&mut self) -> Result<Value> {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.socket.next()).await;
            match message.context("the inspector said nothing more")? {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text)?),
                Some(Ok(Message::Close(frame))) => bail!("the inspector closed: {frame:?}"),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => bail!("the inspector hung up"),
            }
        }
    }

    /// Sends a command without waiting for its answer; gives back its id.
    pub async fn send(&mut self, method: &str, params: Value) -> Result<i64> {
        let id = self.next;
        self.next += 1;
        let command = json!({ "id": id, "method": method, "params": params });
        self.socket.send(Message::text(command.to_string())).await?;
        Ok(id)
    }

    /// The answer to a command that was sent.
    pub async fn answer(&mut self, id: i64) -> Result<Value> {
        if let Some(at) = self.answers.iter().position(|answer| answer["id"] == id) {
            return Ok(self.answers.swap_remove(at));
        }
        loop {
            let message = self.read().await?;
            if message["id"] == id {
                return Ok(message);
            }
            self.keep(message);
        }
    }

    fn keep(&mut self, message: Value) {
        if message["id"].is_null() {
            self.events.push_back(message);
        } else {
            self.answers.push(message);
        }
    }

    /// A command's result.
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.send(method, params).await?;
        let mut answer = self.answer(id).await.with_context(|| method.to_owned())?;
        ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        Ok(answer["result"].take())
    }

    /// The parameters of the next event `method` that `wanted` takes; those before it are passed over.
    pub async fn event(&mut self, method: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let mut event = match self.events.pop_front() {
                Some(event) => event,
                None => self.read().await.with_context(|| format!("waiting for {method}"))?,
            };
            if !event["id"].is_null() {
                self.answers.push(event);
                continue;
            }
            if event["method"] == method && wanted(&event["params"]) {
                return Ok(event["params"].take());
            }
        }
    }

    /// What an expression is in the worker's global scope.
    pub async fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", params).await?;
        ensure!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        Ok(result["result"]["value"].take())
    }

    /// Goes without a goodbye, as a debugger that is killed.
    pub fn vanish(self) {
        drop(self.socket);
    }
}

/// A script with its source map.
pub struct Script {
    /// What it is called by.
    pub url: String,
    sources: Vec<String>,
    /// Generated line and column, source, original line and column; all from 0, in the generated order.
    mappings: Vec<(u32, u32, usize, u32, u32)>,
}

impl Script {
    /// What `Debugger.scriptParsed` announces.
    pub fn announced(params: &Value) -> Result<Self> {
        let url = params["sourceMapURL"].as_str().context("no source map")?;
        let data = url
            .strip_prefix("data:application/json;base64,")
            .with_context(|| format!("a source map that no client can load: {url:?}"))?;
        let map: Value = serde_json::from_slice(&STANDARD.decode(data)?)?;
        let sources = map["sources"].as_array().context("no sources")?;
        let mappings = decode(map["mappings"].as_str().context("no mappings")?)?;
        Ok(Self {
            url: params["url"].as_str().unwrap_or_default().to_owned(),
            sources: sources
                .iter()
                .map(|source| source.as_str().unwrap_or_default().to_owned())
                .collect(),
            mappings,
        })
    }

    /// The first place in the script of a line (from 0) of a source.
    pub fn generated(&self, source: &str, line: u32) -> Result<(u32, u32)> {
        let index = self.sources.iter().position(|known| known == source);
        let index = index.with_context(|| format!("{source} is not among {:?}", self.sources))?;
        let places = self.mappings.iter().filter(|place| place.2 == index && place.3 == line);
        let place = places.min_by_key(|place| (place.0, place.1));
        place
            .map(|place| (place.0, place.1))
            .with_context(|| format!("nothing is made of line {line} of {source}"))
    }

    /// The source and line (from 0) of a place in the script.
    pub fn original(&self, location: &Value) -> Result<(&str, u32)> {
        let number = |name: &str| location[name].as_u64().and_then(|number| u32::try_from(number).ok());
        let (line, column) = number("lineNumber")
            .zip(number("columnNumber"))
            .context("no location")?;
        let before = self
            .mappings
            .iter()
            .filter(|place| (place.0, place.1) <= (line, column) && place.0 == line);
        let place = before
            .max_by_key(|place| place.1)
            .ok_or_else(|| anyhow!("{location} is of no source"))?;
        Ok((&self.sources[place.2], place.3))
    }
}

/// Line and column of the generated text; source, line and column of the original.
type Mapping = (u32, u32, usize, u32, u32);

/// The mappings of a source map (ECMA-426, "Mappings structure").
fn decode(text: &str) -> Result<Vec<Mapping>> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut mappings = Vec::new();
    let mut state = [0_i64; 5];
    for (line, segments) in text.split(';').enumerate() {
        state[0] = 0;
        for segment in segments.split(',').filter(|segment| !segment.is_empty()) {
            let (mut field, mut value, mut shift) = (0, 0_i64, 0);
            for digit in segment.chars() {
                let digit = i64::try_from(DIGITS.find(digit).context("no digit of base 64")?)?;
                value |= (digit & 31) << shift;
                shift += 5;
                if digit & 32 == 0 {
                    let number = value >> 1;
                    let known: &mut i64 = state.get_mut(field).context("too many fields")?;
                    *known += if value & 1 == 1 { -number } else { number };
                    (field, value, shift) = (field + 1, 0, 0);
                }
            }
            if field >= 4 {
                let [column, source, original, original_column, _] = state;
                mappings.push((
                    u32::try_from(line)?,
                    u32::try_from(column)?,
                    usize::try_from(source)?,
                    u32::try_from(original)?,
                    u32::try_from(original_column)?,
                ));
            }
        }
    }
    Ok(mappings)
}
