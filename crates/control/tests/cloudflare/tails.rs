//! A tail over its WebSocket.

use crate::client::{CODE, Client};
use atoll_control::fleet::TailItem;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

async fn connect(client: &Client, url: &str, protocol: &str) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = url.into_client_request()?;
    request
        .headers_mut()
        .insert("sec-websocket-protocol", protocol.parse().unwrap());
    let stream = TcpStream::connect(client.bench.address).await?;
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
    assert_eq!(response.headers()["sec-websocket-protocol"], "trace-v1");
    Ok(socket)
}

async fn create(client: &Client, filters: Value) -> (String, String) {
    let path = client.script("shop", "/tails");
    let made = client.send("POST", &path, json!({"filters": filters})).await;
    let text = |key: &str| made.result()[key].as_str().unwrap().to_owned();
    assert!(text("expires_at").ends_with('Z'));
    (text("id"), text("url"))
}

fn newest(client: &Client) -> mpsc::Sender<TailItem> {
    let recorded = client.bench.pops.recorded();
    recorded.tails.last().unwrap().1.clone()
}

async fn text(socket: &mut WebSocketStream<TcpStream>) -> Value {
    let message = socket.next().await.unwrap().unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

#[tokio::test]
async fn events_come_until_the_tail_is_deleted() {
    let client = Client::start().await;
    client.deploy("shop", CODE, json!({})).await.result();
    let filters = json!([{"client_ip": ["self"]}, {"outcome": ["ok"]}]);
    let (id, url) = create(&client, filters).await;
    assert!(url.starts_with(&format!("ws://{}/", client.bench.address)), "{url}");
    let mut socket = connect(&client, &url, "trace-v1").await.unwrap();
    {
        let recorded = client.bench.pops.recorded();
        let ask = &recorded.tails[0].0;
        let kept: Value = serde_json::from_str(&ask.filters).unwrap();
        assert_eq!(kept["filters"][0]["client_ip"], json!(["127.0.0.1"]));
        assert_eq!(ask.worker.as_str(), "shop");
    }
    // As wrangler sends it: without a mask, which RFC 6455 forbids.
    let hello = br#"{"debug":false}"#;
    let frame = [&[0x81, hello.len() as u8], &hello[..]].concat();
    socket.get_mut().write_all(&frame).await.unwrap();
    socket
        .send(Message::Ping(b"still there?".as_slice().into()))
        .await
        .unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::Pong(b"still there?".as_slice().into())
    );
    let sender = newest(&client);
    let event = json!({"outcome": "ok", "logs": [], "exceptions": []});
    sender.send(TailItem::Event(event.to_string())).await.unwrap();
    assert_eq!(text(&mut socket).await, event);
    sender.send(TailItem::Dropped(7)).await.unwrap();
    let told = text(&mut socket).await;
    assert_eq!(told["event"]["type"], "overload");
    assert!(told["event"]["message"].as_str().unwrap().contains('7'));
    let path = client.script("shop", "/tails");
    assert_eq!(client.get(&path).await.result(), &json!([{"id": id}]));
    client.send("DELETE", &format!("{path}/{id}"), json!({})).await.result();
    let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else {
        panic!("the tail goes on")
    };
    assert_eq!(frame.code, CloseCode::Normal);
    assert_eq!(socket.next().await.map(|message| message.is_ok()), None);
    // The PoPs need not tell any more.
    sender.closed().await;
    assert_eq!(client.get(&path).await.result(), &json!([]));
}

#[tokio::test]
async fn a_tail_that_breaks_off_says_that_it_may_be_begun_again() {
    let client = Client::start().await;
    client.deploy("shop", CODE, json!({})).await.result();
    let (_, url) = create(&client, json!([])).await;
    let mut first = connect(&client, &url, "trace-v1").await.unwrap();
    // The client connects anew: the connection that it gave up ends.
    let mut second = connect(&client, &url, "trace-v1").await.unwrap();
    assert!(matches!(first.next().await, Some(Ok(Message::Close(_)))));
    drop(newest(&client));
    client.bench.pops.recorded().tails.clear();
    let Some(Ok(Message::Close(Some(frame)))) = second.next().await else {
        panic!("the tail goes on")
    };
    assert_eq!(frame.code, CloseCode::Again);
}

#[tokio::test]
async fn who_may_not_listen() {
    let client = Client::start().await;
    client.deploy("shop", CODE, json!({})).await.result();
    let (_, url) = create(&client, json!([])).await;
    let status = |result: Result<WebSocketStream<TcpStream>, Error>| match result {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    };
    assert_eq!(status(connect(&client, &url, "other").await), 400);
    assert_eq!(status(connect(&client, &format!("{url}x"), "trace-v1").await), 401);
    let plain = url.split("/client/v4").nth(1).unwrap();
    assert_eq!(client.get(plain).await.status, 400);
    client.bench.pops.recorded().pops.clear();
    assert_eq!(status(connect(&client, &url, "trace-v1").await), 503);
    let none = client.send("POST", &client.script("none", "/tails"), json!({})).await;
    assert_eq!((none.status, none.code()), (404, 10007));
    let filter = json!({"filters": [{"mood": "good"}]});
    assert_eq!(
        client
            .send("POST", &client.script("shop", "/tails"), filter)
            .await
            .code(),
        10021
    );
}
