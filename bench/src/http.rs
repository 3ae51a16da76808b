//! The little HTTP/1.1 that the rig needs, on hyper: bodies, a loopback server, one client connection.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Body as HttpBody, Frame, Incoming},
    client::conn::http1::SendRequest,
    server::conn::http1,
    service::HttpService,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

/// Any failure of the rig itself.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The body of a message that the rig sends.
pub type Body = UnsyncBoxBody<Bytes, Error>;

/// A body known whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body sent piece by piece; it ends when the sender is dropped, and the sender learns from a
/// failing `send` that the peer went away.
pub fn pieces() -> (mpsc::Sender<Bytes>, Body) {
    struct Pieces(mpsc::Receiver<Bytes>);
    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            self.0.poll_recv(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
        }
    }
    let (sender, receiver) = mpsc::channel(8);
    (sender, Pieces(receiver).boxed_unsync())
}

/// A server on loopback. Dropping it cuts every connection at once, as a killed process would.
pub struct Server {
    addr: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Listens on `port` (0 picks a free one); `new_service` makes the service of each connection.
    pub async fn start<S, B>(port: u16, new_service: impl Fn() -> S + Send + 'static) -> io::Result<Self>
    where
        S: HttpService<Incoming, ResBody = B> + Send + 'static,
        S::Error: Into<Error>,
        S::Future: Send,
        B: HttpBody + Send + 'static,
        B::Data: Send,
        B::Error: Into<Error>,
    {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let addr = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let _ = stream.set_nodelay(true);
                let service = new_service();
                connections.spawn(async move {
                    let mut http = http1::Builder::new();
                    let _ = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { addr, accepting })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A client connection that is reopened when the peer closed it.
pub struct Connection {
    addr: SocketAddr,
    sender: Option<SendRequest<Body>>,
}

impl Connection {
    /// A connection to `addr`, opened with the first request.
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, sender: None }
    }

    /// Sends a request and waits for the head of the response.
    pub async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, Error> {
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => open(self.addr).await?,
        };
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        self.sender = Some(sender);
        Ok(response)
    }

    /// Posts a JSON body to `path` and waits for the whole response.
    pub async fn post(&mut self, path: &str, headers: &HeaderMap, body: Bytes) -> Result<Reply, Error> {
        let mut request = Request::post(path)
            .header("host", self.addr.to_string())
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(full(body))?;
        request.headers_mut().extend(headers.clone());
        let (head, mut body) = self.send(request).await?.into_parts();
        let mut whole = BytesMut::new();
        let mut first_byte = None;
        while let Some(frame) = body.frame().await.transpose()? {
            if let Some(piece) = frame.data_ref() {
                first_byte.get_or_insert_with(Instant::now);
                whole.extend_from_slice(piece);
            }
        }
        Ok(Reply { status: head.status, headers: head.headers, body: whole.freeze(), first_byte })
    }
}

async fn open(addr: SocketAddr) -> Result<SendRequest<Body>, Error> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// A whole response.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// When the first of it came.
    pub first_byte: Option<Instant>,
}

impl Reply {
    /// The body as JSON; of an event stream, the last message in it.
    pub fn json(&self) -> Result<serde_json::Value, Error> {
        let text = std::str::from_utf8(&self.body)?;
        let last = text.lines().filter_map(|line| line.strip_prefix("data:")).rfind(|data| !data.trim().is_empty());
        Ok(serde_json::from_str(last.unwrap_or(text))?)
    }
}
