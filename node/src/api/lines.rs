//! Reads and writes bodies over the socket: JSON lines, and raw bytes.
//!
//! Owns: finding the ends of lines, and telling a reply that ended from one that broke off.

use std::fmt;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRAILER};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::errors::{ApiError, ErrorKind};
use crate::api::events::Events;
use crate::api::types::Event;

/// The longest line that is believed; paths are 4 KiB at most.
const LINE_BYTES_MAX: usize = 1 << 20;
/// The trailer in which a stream of raw bytes says that it failed, as an [`ApiError`].
pub(crate) const ERROR_TRAILER: HeaderName = HeaderName::from_static("shoal-error");

/// A node that went away in the middle of a reply.
fn broken_off(error: Option<&hyper::Error>) -> ApiError {
    let why = error.map_or_else(String::new, |error| format!(" ({error})"));
    ApiError::new(
        ErrorKind::Interrupted,
        format!("the node stopped before it had answered{why}"),
    )
    .hint("run the command again: it goes on where it stopped")
}

/// A body of JSON lines.
pub(crate) struct Lines {
    body: Incoming,
    buffer: BytesMut,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}

impl Lines {
    pub(crate) fn new(body: Incoming) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
        }
    }

    /// The next line. Cancel safe: a part of a line stays in the buffer.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.buffer[searched..]
                .iter()
                .position(|&byte| byte == b'\n')
            {
                let line = self.buffer.split_to(searched + end);
                self.buffer.advance(1);
                return serde_json::from_slice(&line).map_err(|error| not_understood(&error));
            }
            searched = self.buffer.len();
            if searched > LINE_BYTES_MAX {
                return Err(not_understood(&"a line without end"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(broken_off(Some(&error))),
                None => return Err(broken_off(None)),
            }
        }
    }
}

/// An answer that this program cannot read: the node is of another version.
pub(crate) fn not_understood(why: &dyn fmt::Display) -> ApiError {
    ApiError::new(
        ErrorKind::Error,
        format!("the running node gave an answer that this program does not understand ({why})"),
    )
    .hint("if it is of another version, `shoal down` and start it again")
}

/// The reply that carries `events` as JSON lines.
pub(crate) fn reply<D, I>(events: Events<D, I>) -> Response
where
    D: Serialize + DeserializeOwned + Send + 'static,
    I: Serialize + DeserializeOwned + Send + 'static,
{
    let lines = futures::stream::unfold(events, |mut events| async move {
        let event = match events.next().await? {
            Ok(event) => event,
            Err(error) => Event::Error(error),
        };
        let mut line = serde_json::to_vec(&event).expect("events are plain data");
        line.push(b'\n');
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(line)), events))
    });
    let content_type = [(CONTENT_TYPE, "application/x-ndjson")];
    (content_type, Body::from_stream(lines)).into_response()
}

/// Raw bytes over the socket.
#[derive(Debug)]
pub(crate) struct RawBytes(Incoming);

impl RawBytes {
    pub(crate) fn new(body: Incoming) -> Self {
        Self(body)
    }

    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, ApiError>> {
        loop {
            let frame = match self.0.frame().await? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(broken_off(Some(&error)))),
            };
            let trailers = match frame.into_data() {
                Ok(data) if data.is_empty() => continue,
                Ok(data) => return Some(Ok(data)),
                Err(frame) => frame.into_trailers().unwrap_or_default(),
            };
            if let Some(error) = trailers.get(ERROR_TRAILER) {
                let error = serde_json::from_slice(error.as_bytes())
                    .unwrap_or_else(|error| not_understood(&error));
                return Some(Err(error));
            }
        }
    }
}

/// The reply that carries raw bytes. A failure on the way is said in a trailer, which
/// `Trailer` announces, because the status is long gone by then.
pub(crate) fn raw_reply(
    bytes: impl futures::Stream<Item = Result<Bytes, ApiError>> + Send + 'static,
) -> Response {
    use futures::StreamExt;
    let frames = bytes.map(|item| {
        Ok::<_, std::convert::Infallible>(match item {
            Ok(data) => Frame::data(data),
            Err(error) => {
                let json = ascii_json(&error);
                let value = HeaderValue::from_str(&json).expect("visible ASCII");
                Frame::trailers(HeaderMap::from_iter([(ERROR_TRAILER, value)]))
            }
        })
    });
    let headers = [
        (CONTENT_TYPE, "application/octet-stream"),
        (TRAILER, "shoal-error"),
    ];
    (headers, Body::new(http_body_util::StreamBody::new(frames))).into_response()
}

/// JSON with everything but ASCII escaped, as a header wants it.
fn ascii_json(error: &ApiError) -> String {
    let json = serde_json::to_string(error).expect("errors are plain data");
    let mut ascii = String::with_capacity(json.len());
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ b' '..=b'~') => ascii.push(char::from(byte)),
            _ => ascii.push_str(&format!("\\u{unit:04x}")),
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_survive_the_trip_through_a_header() {
        let error = ApiError::new(ErrorKind::Integrity, "„modèle 🐟“ is\nnot \"whole\"").hint("—");
        let json = ascii_json(&error);
        assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert_eq!(
            serde_json::from_str::<ApiError>(&json).expect("json"),
            error
        );
    }
}
