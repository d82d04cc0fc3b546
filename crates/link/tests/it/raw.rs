//! A network of raw connections that are spliced to an echo.

use atoll_worker::body::{CREDIT_DEFAULT, channel};
use atoll_worker::{
    BodyError, ConnectError, ConnectErrorKind, ConnectRequest, Connection, Frame, SecureTransport, StartTls,
};
use tokio::sync::oneshot;

fn open(alpn: &str, upgradable: bool) -> Connection {
    let (tx, mut up) = channel(CREDIT_DEFAULT, None);
    let (down, rx) = channel(CREDIT_DEFAULT, None);
    let (ask, mut asked) = oneshot::channel::<StartTls>();
    tokio::spawn(async move {
        loop {
            match up.frame().await {
                Some(Ok(Frame::Data(data))) => {
                    if down.send_data(data).await.is_err() {
                        return;
                    }
                }
                Some(Ok(Frame::Trailers(_))) => {}
                Some(Err(error)) => return down.fail(BodyError::Failed(format!("reset: {error}"))),
                None => break,
            }
        }
        match asked.try_recv() {
            Ok(StartTls { server_name, reply }) => {
                let name = server_name.unwrap_or_default();
                let answer = if name == "bad" {
                    Err(ConnectError::new(ConnectErrorKind::Tls, "bad name"))
                } else {
                    Ok(open(&format!("tls {name}"), false))
                };
                let _ = reply.send(answer);
            }
            Err(_) => down.finish(),
        }
    });
    Connection {
        tx,
        rx,
        remote: ([192, 0, 2, 1], 443).into(),
        local: ([192, 0, 2, 2], 1024).into(),
        alpn: alpn.to_owned(),
        start_tls: upgradable.then_some(ask),
    }
}

/// Connects to anything but the host `refused`.
pub fn connect(request: ConnectRequest) -> Result<Connection, ConnectError> {
    if request.host == "refused" {
        return Err(ConnectError::new(ConnectErrorKind::Refused, "nobody listens"));
    }
    Ok(open("", request.transport == SecureTransport::StartTls))
}
