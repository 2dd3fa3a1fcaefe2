//! Counting requests on their way from a source to whoever listens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use overlock_core::{Event, Events, StreamName};

/// Passes events on and counts the requests among them by stream.
///
/// A source gets its events when it is connected, before any run. So make the tally first, give
/// [`Tally::events`] to the source's context, and the same tally to [`crate::run`], whose summaries then
/// know the calls of each stream.
#[derive(Debug, Clone)]
pub struct Tally {
    events: Events,
    calls: Arc<Mutex<Calls>>,
}

#[derive(Debug, Default)]
struct Calls {
    total: u64,
    streams: HashMap<StreamName, u64>,
}

impl Tally {
    /// A tally that passes every event on to `sink`.
    pub fn new(sink: &Events) -> Self {
        let calls = Arc::new(Mutex::new(Calls::default()));
        let counted = Arc::clone(&calls);
        let sink = sink.clone();
        let events = Events::new(move |event| {
            if let Event::Request { stream, .. } = &event {
                let mut calls = counted.lock().unwrap_or_else(PoisonError::into_inner);
                calls.total += 1;
                if let Some(stream) = stream {
                    *calls.streams.entry(stream.clone()).or_default() += 1;
                }
            }
            sink.emit(event);
        });
        Self { events, calls }
    }

    /// Where to send events.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// Requests so far, with those that belong to no stream.
    pub fn calls(&self) -> u64 {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .total
    }

    /// Requests so far on behalf of one stream.
    pub fn calls_of(&self, stream: &StreamName) -> u64 {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.streams.get(stream).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_stream_and_in_all() {
        let tally = Tally::new(&Events::none());
        let name = StreamName::new("Account").unwrap();
        for stream in [Some(name.clone()), Some(name.clone()), None] {
            tally.events().emit(Event::Request {
                stream,
                method: "GET".into(),
                url: "http://127.0.0.1/".into(),
                status: None,
                millis: 1,
            });
        }
        tally.events().emit(Event::Quota { used: 1, max: 2 });
        assert_eq!((tally.calls(), tally.calls_of(&name)), (3, 2));
    }
}
