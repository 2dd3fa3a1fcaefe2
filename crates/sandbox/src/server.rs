//! Puts an emulator on a loopback port, with faults in between.
//!
//! One thread with its own runtime per server, so that it works in any test, with or without a runtime
//! of its own; dropping the [`Server`] ends the connections and joins the thread.

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, TcpListener};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue,
};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use overlock_core::{Clock, Error, ErrorKind, Result, Timestamp};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::clock::VirtualClock;
use crate::fault::{Fault, Faults};
use crate::message::{Body, Emulator, Request, Response};
use crate::requests::{Ledger, RequestRecord};
use crate::wire::{Socket, WireBody, alter, gzip, wants_gzip};

/// Largest request body that is read.
const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// Smaller bodies are not worth compressing.
const MIN_GZIP_BYTES: u64 = 512;

/// How a server runs.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Port on 127.0.0.1; 0 picks a free one.
    pub port: u16,
    /// The clock of the world.
    pub clock: VirtualClock,
    /// The faults; empty by default.
    pub faults: Faults,
    /// Whether answers are compressed for clients that accept gzip.
    pub gzip: bool,
    /// How many request records are kept.
    pub keep_records: usize,
}

impl ServerOptions {
    /// A free port, no faults, gzip when asked.
    pub fn new(clock: VirtualClock) -> Self {
        Self {
            port: 0,
            clock,
            faults: Faults::default(),
            gzip: true,
            keep_records: 100_000,
        }
    }
}

/// A running server; stops when dropped.
pub struct Server {
    port: u16,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    emulator: Arc<dyn Emulator>,
    clock: VirtualClock,
    faults: Faults,
    gzip: bool,
    ledger: Mutex<Ledger>,
    /// The last answer per path, kept only while a fault may repeat it.
    last: Mutex<HashMap<String, Answer>>,
}

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Server {
    /// Starts serving.
    ///
    /// # Errors
    /// `Io` if the port is taken or no thread can be started.
    pub fn start(emulator: Arc<dyn Emulator>, options: ServerOptions) -> Result<Self> {
        let ServerOptions {
            port: wanted,
            clock,
            faults,
            gzip,
            keep_records,
        } = options;
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Io, "start a server on 127.0.0.1")
                .context("port", wanted)
                .source(error)
                .hint("choose another port, or 0 for a free one")
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let shared = Arc::new(Shared {
            emulator,
            clock,
            faults,
            gzip,
            ledger: Mutex::new(Ledger::new(keep_records)),
            last: Mutex::new(HashMap::new()),
        });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("sandbox".to_owned())
            .spawn(move || runtime.block_on(serve(listener, serving, stopped)))
            .map_err(failed)?;
        Ok(Self {
            port,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The faults between emulator and clients.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// The clock.
    pub fn clock(&self) -> &VirtualClock {
        &self.shared.clock
    }

    /// The newest requests, in order of arrival.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.ledger().all()
    }

    /// How many requests arrived since the start.
    pub fn request_count(&self) -> u64 {
        self.shared.ledger().count()
    }

    /// Forgets the records; counting goes on.
    pub fn forget_requests(&self) {
        self.shared.ledger().clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Dropping the sender ends the accept loop; its JoinSet then aborts every connection.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("base_url", &self.base_url())
            .finish_non_exhaustive()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopped: oneshot::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "The sandbox cannot listen.");
            return;
        }
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    drop(stream.set_nodelay(true));
                    connections.spawn(connection(stream, Arc::clone(&shared)));
                }
                // Out of file descriptors, most likely: give connections time to end.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: tokio::net::TcpStream, shared: Arc<Shared>) {
    let reset = Arc::new(AtomicBool::new(false));
    let socket = Socket {
        stream,
        reset: Arc::clone(&reset),
    };
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        let reset = Arc::clone(&reset);
        async move { shared.answer(request, reset).await }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "A sandbox connection ended early.");
    }
}

/// Ends the connection without an answer.
#[derive(Debug)]
struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ended by a fault plan")
    }
}

impl std::error::Error for Gone {}

impl Shared {
    async fn answer(
        &self,
        incoming: hyper::Request<Incoming>,
        reset: Arc<AtomicBool>,
    ) -> Result<hyper::Response<WireBody>, Gone> {
        let (head, body) = incoming.into_parts();
        let Ok(body) = Limited::new(body, MAX_REQUEST_BYTES).collect().await else {
            return Err(Gone);
        };
        let request = self.arrived(&head, body.to_bytes());
        let faults = self.faults.draw(&request);
        let name: Option<String> = (!faults.is_empty()).then(|| {
            let kinds: Vec<&str> = faults.iter().map(Fault::kind).collect();
            kinds.join("+")
        });
        let settle = |status: Option<u16>, bytes: u64| {
            self.ledger()
                .settle(request.index, status, bytes, name.as_deref());
        };
        settle(None, 0);
        let mut instead = None;
        for fault in &faults {
            match fault {
                Fault::Reset => {
                    self.emulator.intercepted(&request);
                    reset.store(true, Ordering::Relaxed);
                    return Err(Gone);
                }
                Fault::Stall { bytes: None } => {
                    self.emulator.intercepted(&request);
                    std::future::pending::<()>().await;
                }
                Fault::Delay { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
                Fault::Repeat => instead = self.last().get(&request.path).map(Answer::again),
                Fault::Status {
                    status,
                    content_type,
                    body,
                    headers,
                } => instead = Some(status_answer(*status, content_type, body, headers)),
                _ => {}
            }
        }
        let response = if let Some(response) = instead {
            self.emulator.intercepted(&request);
            response
        } else {
            self.ask(&request)
        };
        if faults.contains(&Fault::Lost) {
            reset.store(true, Ordering::Relaxed);
            return Err(Gone);
        }
        if !response.delay.is_zero() {
            tokio::time::sleep(response.delay).await;
        }
        let response = self.remember(&request, response);
        let response = self.finish(&request, response, &faults, reset);
        settle(
            Some(response.status().as_u16()),
            response.body().announced(),
        );
        Ok(response)
    }

    fn arrived(&self, head: &http::request::Parts, body: Bytes) -> Request {
        let mut ledger = self.ledger();
        let mut head_bytes = head.method.as_str().len() + head.uri.to_string().len() + 12;
        for (name, value) in &head.headers {
            head_bytes += name.as_str().len() + value.len() + 4;
        }
        let request = Request {
            index: ledger.next_index(),
            at: self.clock.now(),
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers.clone(),
            body,
            head_bytes,
        };
        ledger.push(RequestRecord {
            index: request.index,
            at: request.at,
            method: request.method.to_string(),
            path: request.path.clone(),
            query: request.query.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            status: None,
            response_bytes: 0,
            fault: None,
        });
        request
    }

    fn ask(&self, request: &Request) -> Response {
        let answered = std::panic::catch_unwind(AssertUnwindSafe(|| self.emulator.handle(request)));
        answered.unwrap_or_else(|_| {
            tracing::error!(path = request.path, "An emulator panicked.");
            Response::of(500, "text/plain", "the emulator panicked")
        })
    }

    fn remember(&self, request: &Request, response: Response) -> Response {
        if !self.faults.may_repeat() {
            return response;
        }
        let bytes = response.body.into_bytes();
        let answer = Answer {
            status: response.status,
            headers: response.headers.clone(),
            body: bytes.clone(),
        };
        self.last().insert(request.path.clone(), answer);
        Response {
            body: Body::Full(bytes),
            ..response
        }
    }

    /// Adds what every answer carries, compresses, and applies the faults of body and headers.
    fn finish(
        &self,
        request: &Request,
        response: Response,
        faults: &[Fault],
        reset: Arc<AtomicBool>,
    ) -> hyper::Response<WireBody> {
        let mut headers = response.headers;
        let mut body = alter(response.body, faults);
        let accepts = request
            .headers
            .get_all(ACCEPT_ENCODING)
            .iter()
            .any(|value| value.to_str().is_ok_and(|value| value.contains("gzip")));
        let compress = self.gzip
            && accepts
            && response.compressible
            && body.length() >= MIN_GZIP_BYTES
            && !headers.contains_key(CONTENT_ENCODING);
        if compress || wants_gzip(faults) {
            match gzip(body, faults) {
                Ok(bytes) => {
                    body = Body::Full(bytes);
                    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
                Err(error) => {
                    tracing::error!(%error, "A body could not be compressed.");
                    body = Body::Full(Bytes::new());
                }
            }
        }
        let mut skew = 0;
        for fault in faults {
            if let Fault::SkewDate { seconds } = fault {
                skew = *seconds;
            }
        }
        if let Ok(date) = HeaderValue::from_str(&http_date(self.clock.now(), skew)) {
            headers.entry(DATE).or_insert(date);
        }
        for fault in faults {
            match fault {
                Fault::SetHeader { name, value } => {
                    if let (Ok(name), Ok(value)) = (
                        HeaderName::from_bytes(name.as_bytes()),
                        HeaderValue::from_str(value),
                    ) {
                        headers.insert(name, value);
                    }
                }
                Fault::RemoveHeader { name } => {
                    headers.remove(name.as_str());
                }
                _ => {}
            }
        }
        let mut answer = hyper::Response::new(WireBody::new(body, faults, reset));
        *answer.status_mut() = response.status;
        *answer.headers_mut() = headers;
        answer
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> MutexGuard<'_, HashMap<String, Answer>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    fn again(&self) -> Response {
        let mut response = Response::new(self.status.as_u16());
        response.headers = self.headers.clone();
        response.body = Body::Full(self.body.clone());
        response
    }
}

fn status_answer(
    status: u16,
    content_type: &str,
    body: &str,
    headers: &[(String, String)],
) -> Response {
    let mut response = Response::new(status);
    response.body = Body::Full(Bytes::from(body.to_owned()));
    if !body.is_empty() {
        response = response.with_header(CONTENT_TYPE.as_str(), content_type);
    }
    for (name, value) in headers {
        response = response.with_header(name, value);
    }
    response
}

/// The time as HTTP writes it, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(time: Timestamp, skew: i64) -> String {
    // HTTP dates start at 1970 here: `SystemTime` before the epoch is of no use in a header.
    let seconds = u64::try_from(time.seconds().saturating_add(skew)).unwrap_or(0);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Instant;

    use flate2::read::{GzDecoder, MultiGzDecoder};

    use super::*;
    use crate::fault::Match;

    struct Echo;

    const TEXT: &str = "0123456789";

    impl Emulator for Echo {
        fn handle(&self, request: &Request) -> Response {
            match request.path.as_str() {
                "/panic" => panic!("as asked"),
                "/big" => Response::of(200, "text/plain", TEXT.repeat(10_000)),
                "/index" => Response::of(200, "text/plain", request.index.to_string()),
                "/open" => {
                    let mut response = Response::of(200, "text/plain", "");
                    response.body = Body::open(Bytes::from(TEXT.repeat(10_000)));
                    response
                }
                _ => Response::of(200, "text/plain", TEXT),
            }
        }
    }

    fn server() -> Server {
        let clock = VirtualClock::still(Timestamp::parse("2026-03-01T12:00:00Z").unwrap());
        Server::start(Arc::new(Echo), ServerOptions::new(clock)).unwrap()
    }

    /// Head and body of one answer on a connection of its own, and how reading ended.
    fn get(server: &Server, path: &str, accept: &str) -> (String, Vec<u8>, std::io::Result<()>) {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept-encoding: {accept}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut all = Vec::new();
        let ended = stream.read_to_end(&mut all).map(|_| ());
        let at = all
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .map_or(all.len(), |at| at + 4);
        let body = all.split_off(at);
        (String::from_utf8(all).unwrap().to_lowercase(), body, ended)
    }

    #[test]
    fn an_answer_carries_the_virtual_date_and_its_length() {
        let server = server();
        let (head, body, ended) = get(&server, "/a", "identity");
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(
            head.contains("date: sun, 01 mar 2026 12:00:00 gmt"),
            "{head}"
        );
        assert!(head.contains("content-length: 10"), "{head}");
        assert_eq!(body, TEXT.as_bytes());
        ended.unwrap();
    }

    #[test]
    fn an_open_body_announces_nothing() {
        let server = server();
        let (head, body, ended) = get(&server, "/open", "identity");
        assert!(!head.contains("content-length"), "{head}");
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        assert!(body.ends_with(b"\r\n0\r\n\r\n"));
        ended.unwrap();
        assert_eq!(server.requests()[0].response_bytes, 100_000);
        // Its end shows nothing of what is missing.
        let truncate = Fault::TruncateAt { bytes: 777 };
        server.faults().add(Match::default(), truncate);
        let (_, body, ended) = get(&server, "/open", "identity");
        assert!(body.starts_with(b"309\r\n") && body.ends_with(b"\r\n0\r\n\r\n"));
        assert_eq!(body.len(), 777 + 12);
        ended.unwrap();
    }

    #[test]
    fn big_answers_are_compressed_only_when_asked() {
        let server = server();
        let (head, body, _) = get(&server, "/big", "gzip, deflate");
        assert!(head.contains("content-encoding: gzip"), "{head}");
        let mut text = String::new();
        GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, TEXT.repeat(10_000));
        let (head, body, _) = get(&server, "/big", "identity");
        assert!(!head.contains("content-encoding"), "{head}");
        assert_eq!(body.len(), 100_000);
    }

    #[test]
    fn each_body_fault_shows_on_the_wire() {
        let server = server();
        let cases: [(Fault, usize, bool); 6] = [
            (Fault::CutAt { bytes: 777 }, 777, true),
            (Fault::CutAt { bytes: 1 << 40 }, 99_999, true),
            (Fault::TruncateAt { bytes: 777 }, 777, true),
            (Fault::ResetAt { bytes: 777 }, 777, false),
            (Fault::Stall { bytes: Some(777) }, 777, false),
            (
                Fault::Drip {
                    bytes: 50_000,
                    every_ms: 1,
                },
                100_000,
                true,
            ),
        ];
        for (fault, length, clean_end) in cases {
            server.faults().clear();
            server.faults().add(Match::default(), fault.clone());
            let (head, body, ended) = get(&server, "/big", "identity");
            // A reset may overtake the bytes before it, so only their number is bounded then.
            if matches!(fault, Fault::ResetAt { .. }) {
                assert!(body.len() <= length, "{fault:?}: {}", body.len());
            } else {
                assert_eq!(body.len(), length, "{fault:?}");
            }
            assert_eq!(ended.is_ok(), clean_end, "{fault:?}: {ended:?}");
            let announced = if matches!(fault, Fault::TruncateAt { .. }) {
                777
            } else {
                100_000
            };
            assert!(
                head.contains(&format!("content-length: {announced}\r")) || head.is_empty(),
                "{fault:?}: {head}"
            );
        }
    }

    #[test]
    fn gzip_faults_break_exactly_what_they_name() {
        let server = server();
        let inflate = |fault: Fault| {
            server.faults().clear();
            server.faults().add(Match::default(), fault);
            let (_, body, ended) = get(&server, "/big", "identity");
            ended.unwrap();
            let mut first = Vec::new();
            let single = GzDecoder::new(&body[..]).read_to_end(&mut first).is_ok();
            let mut all = Vec::new();
            let multi = MultiGzDecoder::new(&body[..]).read_to_end(&mut all).is_ok();
            (single, multi, all.len())
        };
        assert_eq!(inflate(Fault::GzipSecondMember), (true, true, 200_000));
        assert_eq!(inflate(Fault::GzipTrailing), (true, false, 100_000));
        assert_eq!(
            inflate(Fault::GzipBomb { bytes: 5_000_000 }),
            (true, true, 5_000_000)
        );
        assert!(!inflate(Fault::GzipBadCrc).0);
        assert!(!inflate(Fault::GzipCut { missing: 5 }).0);
    }

    #[test]
    fn faults_without_an_answer_end_or_hold_the_connection() {
        let server = server();
        for (fault, ended_by_peer) in [
            (Fault::Reset, true),
            (Fault::Lost, true),
            (Fault::Stall { bytes: None }, false),
        ] {
            server.faults().clear();
            server.faults().add(Match::default(), fault.clone());
            let (head, body, ended) = get(&server, "/a", "identity");
            assert!(head.is_empty() && body.is_empty(), "{fault:?}: {head}");
            let timed_out = ended.is_err_and(|error| {
                matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                )
            });
            assert_eq!(timed_out, !ended_by_peer, "{fault:?}");
        }
    }

    #[test]
    fn headers_status_and_content_can_be_changed() {
        let server = server();
        server.faults().add(
            Match::path("/a"),
            Fault::All {
                faults: vec![
                    Fault::RemoveHeader {
                        name: "date".to_owned(),
                    },
                    Fault::SetHeader {
                        name: "sforce-locator".to_owned(),
                        value: "abc".to_owned(),
                    },
                    Fault::Replace {
                        find: "345".to_owned(),
                        with: "-".to_owned(),
                    },
                    Fault::Garble { at: -1 },
                ],
            },
        );
        let (head, body, _) = get(&server, "/a", "identity");
        assert!(
            !head.contains("date:") && head.contains("sforce-locator: abc"),
            "{head}"
        );
        assert_eq!(body, b"012-678\xc6");
        server.faults().clear();
        let skew = Fault::SkewDate { seconds: -86_400 };
        server.faults().add(Match::default().nth(1), skew);
        let busy = Fault::too_many_requests(Some("7"));
        server.faults().add(Match::default().nth(2), busy);
        let (head, _, _) = get(&server, "/a", "identity");
        assert!(head.contains("28 feb 2026"), "{head}");
        let (head, _, _) = get(&server, "/a", "identity");
        assert!(
            head.starts_with("http/1.1 429") && head.contains("retry-after: 7"),
            "{head}"
        );
    }

    #[test]
    fn repeat_gives_the_answer_before() {
        let server = server();
        server
            .faults()
            .add(Match::path("/index").nth(2), Fault::Repeat);
        let bodies: Vec<Vec<u8>> = (0..3)
            .map(|_| get(&server, "/index", "identity").1)
            .collect();
        assert_eq!(bodies, [b"0", b"0", b"2"]);
    }

    #[test]
    fn every_request_is_accounted_for() {
        let server = server();
        server.faults().add(Match::path("/b"), Fault::Reset);
        drop(get(&server, "/a?x=1", "identity"));
        drop(get(&server, "/b", "identity"));
        drop(get(&server, "/panic", "identity"));
        let records = server.requests();
        let seen: Vec<_> = records
            .iter()
            .map(|record| (record.path.as_str(), record.status, record.fault.as_deref()))
            .collect();
        assert_eq!(
            seen,
            [
                ("/a", Some(200), None),
                ("/b", None, Some("reset")),
                ("/panic", Some(500), None)
            ]
        );
        assert_eq!(server.request_count(), 3);
    }

    #[test]
    fn dropping_the_server_ends_a_stalled_connection_and_frees_the_port() {
        let server = server();
        server
            .faults()
            .add(Match::default(), Fault::Stall { bytes: None });
        let port = server.port();
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let started = Instant::now();
        drop(server);
        assert!(started.elapsed() < Duration::from_secs(2));
        let mut rest = Vec::new();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        drop(stream.read_to_end(&mut rest));
        assert!(rest.is_empty());
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
