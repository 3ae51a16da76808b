//! An SMTP server that keeps what it is given.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// One mail as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mail {
    /// The envelope's recipients.
    pub(crate) to: Vec<String>,
    /// Headers and body.
    pub(crate) data: String,
}

impl Mail {
    /// The value of a header, or nothing.
    pub(crate) fn header(&self, name: &str) -> String {
        let head = self.data.split("\r\n\r\n").next().unwrap();
        let unfolded = head.replace("\r\n ", " ");
        let line = unfolded.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
        line.unwrap_or_default()
    }

    /// The body without its transfer encoding's soft line breaks and escapes.
    pub(crate) fn text(&self) -> String {
        let body = self.data.replace("=\r\n", "");
        let mut bytes = Vec::new();
        let mut rest = body.as_bytes();
        while let [first, more @ ..] = rest {
            let escaped = (*first == b'=').then(|| more.get(..2)).flatten();
            let byte = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
            bytes.push(byte.unwrap_or(*first));
            rest = if byte.is_some() { &more[2..] } else { more };
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The server. It refuses mail for `unknown@…` and never greets when it hangs.
pub(crate) struct Sink {
    pub(crate) port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl Sink {
    pub(crate) async fn start(hangs: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mails = Arc::<Mutex<Vec<Mail>>>::default();
        let kept = Arc::clone(&mails);
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                if hangs {
                    held.push(stream);
                } else {
                    tokio::spawn(converse(stream, Arc::clone(&kept)));
                }
            }
        });
        Self { port, mails }
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }
}

async fn converse(mut stream: TcpStream, mails: Arc<Mutex<Vec<Mail>>>) -> std::io::Result<()> {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).split(b'\n');
    let mut mail = Mail::default();
    write.write_all(b"220 sink\r\n").await?;
    while let Some(line) = lines.next_segment().await? {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let answer = match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => "250-sink\r\n250 8BITMIME\r\n",
            "RCPT" if line.contains("unknown@") => "550 no such person\r\n",
            "RCPT" => {
                mail.to.push(line.split(['<', '>']).nth(1).unwrap_or_default().to_owned());
                "250 ok\r\n"
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                while let Some(line) = lines.next_segment().await? {
                    if line == b".\r" {
                        break;
                    }
                    mail.data += &String::from_utf8_lossy(&line);
                    mail.data.push('\n');
                }
                mails.lock().unwrap().push(std::mem::take(&mut mail));
                "250 kept\r\n"
            }
            "QUIT" => "221 bye\r\n",
            _ => "250 ok\r\n",
        };
        write.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}
