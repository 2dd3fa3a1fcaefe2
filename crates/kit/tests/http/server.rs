//! A server for one test: on 127.0.0.1, one request per connection, each answer chosen by the test.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Number of the request, from 0.
    pub(crate) index: usize,
    /// Path and query.
    pub(crate) target: String,
    /// Header block in lower case.
    pub(crate) headers: String,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

/// What the server does with a request.
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Sends a reset instead of a regular end.
    Reset,
    /// Says nothing until the client goes away.
    Stall,
    /// One byte at a time.
    Drip(Vec<u8>, Duration),
}

pub(crate) type Script = Vec<Step>;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                tokio::spawn(async move {
                    // A broken connection is what many tests are about.
                    let _ended = serve(stream, &log, &*answer).await;
                });
            }
        });
        Self {
            address,
            seen,
            task,
        }
    }

    pub(crate) fn url(&self) -> url::Url {
        url::Url::parse(&format!("http://{}", self.address)).unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Seen>>,
    answer: &(dyn Fn(&Seen) -> Script + Send + Sync),
) -> std::io::Result<()> {
    let mut read = Vec::new();
    let head = loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        read.extend_from_slice(&buffer[..count]);
        if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
    };
    let text = String::from_utf8_lossy(&read[..head]).into_owned();
    let (line, headers) = text.split_once("\r\n").unwrap_or((&text, ""));
    let headers = headers.to_lowercase();
    let length: usize = headers
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    while read.len() < head + 4 + length {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await?;
        read.extend_from_slice(&buffer[..count]);
    }
    let seen = {
        let mut log = log.lock().unwrap();
        let seen = Seen {
            index: log.len(),
            target: line.split(' ').nth(1).unwrap_or_default().to_owned(),
            headers,
            body: String::from_utf8_lossy(&read[head + 4..]).into_owned(),
            at: Instant::now(),
        };
        log.push(seen.clone());
        seen
    };
    for step in answer(&seen) {
        match step {
            Step::Send(bytes) => stream.write_all(&bytes).await?,
            Step::Reset => {
                #[expect(deprecated, reason = "a reset is what the test asks for")]
                stream.set_linger(Some(Duration::ZERO))?;
                return Ok(());
            }
            Step::Stall => {
                let mut buffer = [0; 16];
                while stream.read(&mut buffer).await? > 0 {}
            }
            Step::Drip(bytes, pause) => {
                for byte in bytes {
                    stream.write_all(&[byte]).await?;
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
    stream.shutdown().await
}

/// The bytes of an answer with a `Content-Length`.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} Text\r\nConnection: close\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Script {
    vec![Step::Send(answer(status, headers, body.as_bytes()))]
}

pub(crate) fn json(body: &str) -> Script {
    reply(200, &[("Content-Type", "application/json")], body)
}

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}
