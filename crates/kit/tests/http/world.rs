//! A client with tiny time-outs and everything it says on record.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use overlock_core::{
    Context, Event, Events, FixedClock, Proxy, Redactor, Result, Secret, Timestamp,
};
use overlock_kit::HttpConfig;
use overlock_kit::http::{
    Api, Auth, Http, HttpSettings, LoginClient, Origins, PlainApi, Token, Url,
};

use crate::server::Server;

pub(crate) const NOW: &str = "2026-01-31T09:30:00Z";
/// Stands for every credential in these tests; must never be seen anywhere.
pub(crate) const CANARY: &str = "canary-7f3a9c51d2e8";

/// Pauses that make tests quick; time-outs that a busy machine does not hit by chance.
pub(crate) fn quick() -> HttpConfig {
    HttpConfig {
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(5),
        bulk_read_timeout: Duration::from_secs(5),
        backoff_base: Duration::from_millis(1),
        backoff_cap: Duration::from_millis(2),
        rate_limit_wait: Duration::from_millis(30),
        max_wait: Duration::from_secs(2),
        retries: 1_000,
        ..HttpConfig::default()
    }
}

pub(crate) struct World {
    pub(crate) http: Http,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    pub(crate) logins: Arc<AtomicU32>,
    pub(crate) cx: Context,
}

#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) config: Option<HttpConfig>,
    pub(crate) api: Option<Arc<dyn Api>>,
    pub(crate) max_api_calls: Option<u64>,
    pub(crate) stop_at_percent: Option<u8>,
    pub(crate) proxy: Proxy,
    pub(crate) ca_file: Option<std::path::PathBuf>,
    pub(crate) configured: Option<Vec<Url>>,
    pub(crate) known: Vec<Url>,
}

/// Each login gives a token with its own number.
struct Counting {
    base: Url,
    logins: Arc<AtomicU32>,
}

#[async_trait]
impl Auth for Counting {
    async fn login(&self, _: &LoginClient<'_>) -> Result<Token> {
        // Long enough for others to come meanwhile, to show the single flight.
        overlock_kit::sleep(Duration::from_millis(5)).await;
        let number = self.logins.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(Token::authorization(
            Secret::new(format!("Bearer {CANARY}-{number}")),
            self.base.clone(),
        ))
    }
}

pub(crate) fn context(events: &Arc<Mutex<Vec<Event>>>) -> Context {
    let sink = Arc::clone(events);
    Context {
        work_dir: std::env::temp_dir(),
        events: Events::new(move |event| sink.lock().unwrap().push(event)),
        clock: Arc::new(FixedClock(Timestamp::parse(NOW).unwrap())),
        redactor: Redactor::default(),
        proxy: Proxy::default(),
        max_api_calls: None,
        ca_file: None,
    }
}

pub(crate) fn world(base: &Url, setup: Setup) -> World {
    let logins = Arc::new(AtomicU32::new(0));
    let auth = Arc::new(Counting {
        base: base.clone(),
        logins: Arc::clone(&logins),
    });
    world_with(base, auth, logins, setup)
}

pub(crate) fn world_with(
    base: &Url,
    auth: Arc<dyn Auth>,
    logins: Arc<AtomicU32>,
    setup: Setup,
) -> World {
    let events = Arc::new(Mutex::new(Vec::new()));
    let mut cx = context(&events);
    cx.proxy = setup.proxy;
    cx.ca_file = setup.ca_file;
    let settings = HttpSettings {
        config: setup.config.unwrap_or_else(quick),
        origins: Origins {
            configured: setup.configured.unwrap_or_else(|| vec![base.clone()]),
            known: setup.known,
            suffixes: &[".source.test"],
        },
        max_api_calls: setup.max_api_calls,
        stop_at_percent: setup.stop_at_percent,
        ..HttpSettings::default()
    };
    let api = setup.api.unwrap_or_else(|| Arc::new(PlainApi));
    let http = Http::new(settings, auth, api, &cx).unwrap();
    World {
        http,
        events,
        logins,
        cx,
    }
}

pub(crate) fn simple(server: &Server) -> World {
    world(&server.url(), Setup::default())
}

impl World {
    pub(crate) fn logins(&self) -> u32 {
        self.logins.load(Ordering::SeqCst)
    }

    /// Pauses announced before retries, in milliseconds.
    pub(crate) fn pauses(&self) -> Vec<u64> {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .filter_map(|event| match event {
                Event::Retry { wait_millis, .. } => Some(*wait_millis),
                _ => None,
            })
            .collect()
    }

    /// Everything that could have been shown.
    pub(crate) fn said(&self) -> String {
        serde_json::to_string(&*self.events.lock().unwrap()).unwrap()
    }
}
