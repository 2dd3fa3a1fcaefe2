//! Accounting: what was asked, what was answered, which fault was in between.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use http::HeaderMap;
use overlock_core::Timestamp;

/// One request as the server saw it.
#[derive(Clone)]
pub struct RequestRecord {
    /// Position among all requests of this server, from 0.
    pub index: u64,
    /// When it arrived, by the server's clock.
    pub at: Timestamp,
    /// The method, such as `GET`.
    pub method: String,
    /// Path as sent.
    pub path: String,
    /// Query as sent.
    pub query: String,
    /// Request header fields, credentials included: this is test data, but do not print it.
    pub headers: HeaderMap,
    /// Request body.
    pub body: Bytes,
    /// Status of the answer; `None` if there was none.
    pub status: Option<u16>,
    /// Bytes of the answer's body as announced, before any cut.
    pub response_bytes: u64,
    /// The fault that hit it, by its kind.
    pub fault: Option<String>,
}

impl fmt::Debug for RequestRecord {
    /// Without query, headers and bodies: they carry credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} {}", self.index, self.method, self.path)?;
        match self.status {
            Some(status) => write!(f, " {status} ({} bytes)", self.response_bytes)?,
            None => f.write_str(" no answer")?,
        }
        match &self.fault {
            Some(fault) => write!(f, " [{fault}]"),
            None => Ok(()),
        }
    }
}

/// The newest records, bounded.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    records: VecDeque<RequestRecord>,
    keep: usize,
    next: u64,
}

impl Ledger {
    pub(crate) fn new(keep: usize) -> Self {
        Self {
            keep: keep.max(1),
            ..Self::default()
        }
    }

    pub(crate) fn next_index(&mut self) -> u64 {
        let index = self.next;
        self.next += 1;
        index
    }

    pub(crate) fn push(&mut self, record: RequestRecord) {
        if self.records.len() >= self.keep {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// Notes how the request ended.
    pub(crate) fn settle(
        &mut self,
        index: u64,
        status: Option<u16>,
        bytes: u64,
        fault: Option<&str>,
    ) {
        if let Some(record) = self
            .records
            .iter_mut()
            .rev()
            .find(|record| record.index == index)
        {
            record.status = status;
            record.response_bytes = bytes;
            record.fault = fault.map(str::to_owned);
        }
    }

    pub(crate) fn all(&self) -> Vec<RequestRecord> {
        self.records.iter().cloned().collect()
    }

    pub(crate) fn count(&self) -> u64 {
        self.next
    }

    pub(crate) fn clear(&mut self) {
        self.records.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u64) -> RequestRecord {
        RequestRecord {
            index,
            at: Timestamp::EPOCH,
            method: "GET".to_owned(),
            path: "/a".to_owned(),
            query: "token=hunter22".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"client_secret=hunter22"),
            status: None,
            response_bytes: 0,
            fault: None,
        }
    }

    #[test]
    fn the_ledger_is_bounded_but_counts_on() {
        let mut ledger = Ledger::new(2);
        for _ in 0..5 {
            let index = ledger.next_index();
            ledger.push(record(index));
        }
        ledger.settle(4, Some(200), 12, None);
        assert_eq!(ledger.count(), 5);
        assert_eq!(
            format!("{:?}", ledger.all()),
            "[#3 GET /a no answer, #4 GET /a 200 (12 bytes)]"
        );
    }

    #[test]
    fn debug_shows_no_credentials() {
        assert!(!format!("{:?}", record(1)).contains("hunter22"));
    }
}
