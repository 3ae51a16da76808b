//! A connection on which everything travels in both directions, told apart by id: a child's
//! standard streams, or the event stream of 2024-11-05 with its POST endpoint.

use std::sync::{Arc, OnceLock};

use preloop_types::KeyId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::protocol::{Message, Response};

use super::{
    UpstreamError,
    error::Failure,
    exchange::Exchange,
    http::{Http, Outgoing, parse},
    switchboard::Switchboard,
};

/// Both directions of one connection.
#[derive(Debug)]
pub(super) struct Pipe {
    out: Out,
    pub(super) board: Arc<Switchboard>,
    gone: CancellationToken,
    why: OnceLock<String>,
}

/// Where messages go out.
#[derive(Debug)]
pub(super) enum Out {
    /// To the task that writes lines to a child.
    Lines(mpsc::Sender<String>),
    /// By POST.
    Posts(Box<Http>),
}

impl Pipe {
    pub(super) fn new(out: Out, board: Arc<Switchboard>) -> Self {
        Self { out, board, gone: CancellationToken::new(), why: OnceLock::new() }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.gone.is_cancelled()
    }

    /// Ends every call on it; the first reason given stays.
    pub(super) fn close(&self, why: impl Into<String>) {
        let _ = self.why.set(why.into());
        self.gone.cancel();
    }

    /// Resolves once it is closed.
    pub(super) async fn closed(&self) {
        self.gone.cancelled().await;
    }

    pub(super) async fn tell(&self, body: String) -> Result<(), Failure> {
        match &self.out {
            Out::Lines(lines) => lines.send(body).await.map_err(|_| self.broken(false).into()),
            Out::Posts(http) => http.tell(body).await,
        }
    }

    /// Takes in one message; what must be answered at once is.
    pub(super) async fn received(&self, text: &[u8]) -> Result<(), UpstreamError> {
        if let Some(answer) = self.board.route(parse(text)?) {
            // If it cannot be sent, the reader of this connection will find out why.
            let _ = self.tell(answer.to_json()).await;
        }
        Ok(())
    }

    /// Sends a request and waits for its response, relaying what comes beside it.
    pub(super) async fn exchange(
        &self,
        outgoing: Outgoing,
        who: Option<KeyId>,
        exchange: &mut Exchange<'_>,
    ) -> Result<Response, Failure> {
        let mut handset = self.board.open(outgoing.id, who);
        tokio::select! {
            sent = self.tell(outgoing.body) => sent?,
            () = self.closed() => return Err(self.broken(false).into()),
        }
        loop {
            tokio::select! {
                biased;
                response = &mut handset.reply => {
                    // Progress sent before the response is passed on before it.
                    while let Some(message) = handset.inbox.try_take() {
                        if let Message::Notification(notification) = message {
                            exchange.notified(&notification)?;
                        }
                    }
                    return Ok(response.map_err(|_| self.broken(true))??);
                }
                message = handset.inbox.take() => match message {
                    Message::Notification(notification) => exchange.notified(&notification)?,
                    Message::Request(request) => {
                        if let Some(answer) = exchange.requested(request)? {
                            self.tell(answer.to_json()).await?;
                        }
                    }
                    Message::Response(_) => {}
                },
                answer = exchange.answer() => self.tell(answer.to_json()).await?,
                () = self.closed() => return Err(self.broken(true).into()),
            }
        }
    }

    pub(super) fn broken(&self, sent: bool) -> UpstreamError {
        let why = self.why.get().map_or("it was closed", String::as_str);
        UpstreamError::Broken { why: why.to_owned(), sent }
    }
}
