//! An answer of the server as a reader, for code that reads and checks in one go.

use std::io::{BufReader, Read};

use reqwest::Response;
use tokio::sync::mpsc;

/// Pieces on their way from the network to the reader.
const PIECES: usize = 16;

/// The network's half: fetches pieces as fast as they are read.
pub(crate) struct Download {
    response: Response,
    pieces: mpsc::Sender<Vec<u8>>,
}

/// The reader's half; blocks, so it is read on a thread of its own.
pub(crate) struct Pieces {
    from: mpsc::Receiver<Vec<u8>>,
    current: Vec<u8>,
    read: usize,
}

impl Download {
    pub(crate) fn new(response: Response) -> (Self, BufReader<Pieces>) {
        let (sender, receiver) = mpsc::channel(PIECES);
        let pieces = Pieces { from: receiver, current: Vec::new(), read: 0 };
        (Self { response, pieces: sender }, BufReader::new(pieces))
    }

    /// Fetches until the end, or until nobody reads any more.
    pub(crate) async fn run(mut self) -> reqwest::Result<()> {
        while let Some(piece) = self.response.chunk().await? {
            if self.pieces.send(piece.to_vec()).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.read == self.current.len() {
            match self.from.blocking_recv() {
                Some(piece) => (self.current, self.read) = (piece, 0),
                None => return Ok(0),
            }
        }
        let left = &self.current[self.read..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.read += count;
        Ok(count)
    }
}
