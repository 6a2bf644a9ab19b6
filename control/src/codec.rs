//! Requests and answers as bytes on a stream.
//!
//! Owns: the frame, and the bound on what all of them take in memory at a time: room is
//! taken before a byte of the content is read, and given back with the content. Refuses: what
//! they mean.
//!
//! A request is its length (u32, little-endian) and its bytes. An answer is a status (u8: 0
//! answered, 1 refused, 2 busy), a length and bytes; only status 0 has any.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{StreamProtocol, request_response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::names::Protocol;
use super::requests::Refusal;

/// What room is counted in.
const ROOM_UNIT_BYTES: usize = 1 << 10;

/// Content that holds its room.
#[derive(Debug)]
pub(super) struct Parcel {
    pub bytes: Bytes,
    /// Given back when the parcel is dropped. What this node sends has none.
    pub room: Option<OwnedSemaphorePermit>,
}

impl From<Bytes> for Parcel {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, room: None }
    }
}

/// What comes back for a request.
pub(super) type Answer = Result<Parcel, Refusal>;

/// Reads and writes the frames of one protocol.
#[derive(Clone)]
pub(super) struct Codec {
    pub request_bytes_max: usize,
    pub answer_bytes_max: usize,
    pub requests: Room,
    pub answers: Room,
}

impl Codec {
    pub(super) fn new(protocol: Protocol, requests: Room, answers: Room) -> Self {
        Self {
            request_bytes_max: protocol.request_bytes_max(),
            answer_bytes_max: protocol.answer_bytes_max(),
            requests,
            answers,
        }
    }
}

/// How many bytes may be in memory; clones share it.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// Room for at least one content of `bytes_max`, the largest that will ask for it.
    pub(super) fn new(bytes: usize, bytes_max: usize) -> Self {
        let units = Self::units(bytes.max(bytes_max));
        Self(Arc::new(Semaphore::new(units as usize)))
    }

    fn units(bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(ROOM_UNIT_BYTES)).unwrap_or(u32::MAX >> 4)
    }

    async fn take(&self, bytes: usize) -> OwnedSemaphorePermit {
        let room = self.0.clone();
        room.acquire_many_owned(Self::units(bytes))
            .await
            .expect("the room is never closed")
    }
}

async fn read_parcel<T>(io: &mut T, bytes_max: usize, room: &Room) -> io::Result<Parcel>
where
    T: AsyncRead + Unpin + Send,
{
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = u32::from_le_bytes(length) as usize;
    if length > bytes_max {
        let text = format!("{length} bytes announced, at most {bytes_max} allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let room = room.take(length).await;
    let mut bytes = vec![0; length];
    io.read_exact(&mut bytes).await?;
    Ok(Parcel {
        bytes: bytes.into(),
        room: Some(room),
    })
}

async fn write_parcel<T>(io: &mut T, bytes: &[u8]) -> io::Result<()>
where
    T: AsyncWrite + Unpin + Send,
{
    let length = u32::try_from(bytes.len()).expect("contents are far below 4 GiB");
    io.write_all(&length.to_le_bytes()).await?;
    io.write_all(bytes).await
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Parcel;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Parcel>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_parcel(io, self.request_bytes_max, &self.requests).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut status = [0];
        io.read_exact(&mut status).await?;
        let bytes_max = match status[0] {
            0 => self.answer_bytes_max,
            _ => 0,
        };
        let parcel = read_parcel(io, bytes_max, &self.answers).await?;
        match status[0] {
            0 => Ok(Ok(parcel)),
            1 => Ok(Err(Refusal::Refused)),
            2 => Ok(Err(Refusal::Busy)),
            other => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("an answer of unknown status {other}"),
            )),
        }
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Parcel,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_parcel(io, &request.bytes).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Answer,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let (status, bytes) = match answer {
            Ok(parcel) => (0, parcel.bytes),
            Err(Refusal::Refused) => (1, Bytes::new()),
            Err(Refusal::Busy) => (2, Bytes::new()),
        };
        io.write_all(&[status]).await?;
        write_parcel(io, &bytes).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;
    use libp2p::request_response::Codec as _;

    fn codec() -> Codec {
        let room = Room::new(1 << 20, 1 << 20);
        Codec::new(Protocol::Find, room.clone(), room)
    }

    async fn request_of(bytes: Vec<u8>) -> io::Result<Parcel> {
        codec()
            .read_request(&Protocol::Find.name(), &mut Cursor::new(bytes))
            .await
    }

    async fn answer_of(bytes: Vec<u8>) -> io::Result<Answer> {
        codec()
            .read_response(&Protocol::Find.name(), &mut Cursor::new(bytes))
            .await
    }

    #[tokio::test]
    async fn what_is_written_is_read() {
        let name = Protocol::Find.name();
        let mut wire = Vec::new();
        let request = Bytes::from_static(b"where").into();
        codec()
            .write_request(&name, &mut wire, request)
            .await
            .unwrap();
        assert_eq!(wire, b"\x05\0\0\0where");
        assert_eq!(request_of(wire).await.unwrap().bytes, b"where"[..]);

        let answers: [(Answer, &[u8]); 3] = [
            (Ok(Bytes::from_static(b"here").into()), b"\0\x04\0\0\0here"),
            (Err(Refusal::Refused), b"\x01\0\0\0\0"),
            (Err(Refusal::Busy), b"\x02\0\0\0\0"),
        ];
        for (answer, expected) in answers {
            let plain = |answer: Answer| answer.map(|parcel| parcel.bytes);
            let mut wire = Vec::new();
            let told = answer.as_ref().map(|p| p.bytes.clone()).map_err(|e| *e);
            codec()
                .write_response(&name, &mut wire, answer)
                .await
                .unwrap();
            assert_eq!(wire, expected);
            assert_eq!(plain(answer_of(wire).await.unwrap()), told);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_is_an_error() {
        let too_long = (16u32 << 10) + 1;
        let cases: [Vec<u8>; 3] = [
            too_long.to_le_bytes().to_vec(),
            u32::MAX.to_le_bytes().to_vec(),
            b"\x05\0\0\0wher".to_vec(),
        ];
        for case in cases {
            assert!(request_of(case).await.is_err());
        }
        for case in [
            &b"\x03\0\0\0\0"[..],
            b"\x01\x01\0\0\0x",
            b"\0\xff\xff\xff\xff",
        ] {
            assert!(answer_of(case.to_vec()).await.is_err());
        }
    }

    #[tokio::test]
    async fn content_holds_its_room_until_it_is_dropped() {
        let room = Room::new(8 << 10, 8 << 10);
        let first = room.take(5 << 10).await;
        let second = room.take(5 << 10);
        tokio::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        drop(second.await);
    }
}
