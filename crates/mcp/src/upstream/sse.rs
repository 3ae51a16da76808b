//! HTTP+SSE as of 2024-11-05: an event stream that names the endpoint to POST to.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, header};
use preloop_egress::Client;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::protocol::Version;

use super::{
    UpstreamError,
    credential::Credential,
    error::Failure,
    event_stream::EventStream,
    http::{Http, send_error},
    pipe::{Out, Pipe},
    switchboard::Switchboard,
};

/// How long the server may take to name its endpoint.
const ENDPOINT_WAIT: Duration = Duration::from_secs(10);

/// Opens the stream and reads it until `stop` or its end.
pub(super) async fn open(
    client: &Client,
    url: &Url,
    credential: &Arc<Credential>,
    limit: usize,
    board: Arc<Switchboard>,
    stop: CancellationToken,
) -> Result<Arc<Pipe>, Failure> {
    let mut head = (*credential.headers().await?).clone();
    head.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    let request = client.get(url.clone()).map_err(UpstreamError::from)?;
    let response = request.headers(head).send().await.map_err(|error| send_error(&error))?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => return Err(Failure::Unauthorized),
        status => return Err(UpstreamError::Http(status.as_u16()).into()),
    }
    let mut events = EventStream::new(response, limit);
    let endpoint = tokio::time::timeout(ENDPOINT_WAIT, endpoint(&mut events, url))
        .await
        .map_err(|_| UpstreamError::Protocol("the event stream names no endpoint".to_owned()))??;

    let out = Http::new(client.clone(), endpoint, Arc::clone(credential), Version::V2024_11_05, limit);
    let pipe = Arc::new(Pipe::new(Out::Posts(Box::new(out)), board));
    tokio::spawn(read(Arc::clone(&pipe), events, stop));
    Ok(pipe)
}

async fn endpoint(events: &mut EventStream, url: &Url) -> Result<Url, UpstreamError> {
    let wrong = |what: &str| UpstreamError::Protocol(format!("the event stream {what}"));
    while let Some(event) = events.next().await? {
        if event.kind != "endpoint" {
            continue;
        }
        let endpoint = url.join(&event.data).map_err(|_| wrong("names an endpoint that is not a URL"))?;
        // Credentials go to the server that was configured, and nowhere else.
        if endpoint.origin() != url.origin() {
            return Err(wrong("names an endpoint on another origin"));
        }
        return Ok(endpoint);
    }
    Err(wrong("ended before it named an endpoint"))
}

async fn read(pipe: Arc<Pipe>, mut events: EventStream, stop: CancellationToken) {
    let why = loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = stop.cancelled() => break "closed by us".to_owned(),
            () = pipe.closed() => return,
        };
        match event {
            Ok(Some(event)) if event.data.is_empty() => {}
            Ok(Some(event)) => {
                if let Err(error) = pipe.received(event.data.as_bytes()).await {
                    break error.to_string();
                }
            }
            Ok(None) => break "the event stream ended".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    pipe.close(why);
}
