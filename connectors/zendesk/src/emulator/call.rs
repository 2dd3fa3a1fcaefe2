//! One call below `/api/v2`: its parameters, and the addresses that answers point to.

use overlock_sandbox::Request;
use url::form_urlencoded;

use super::options::Behaviour;
use super::record::Sec;
use super::world::World;

/// A call as the resources see it.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) world: &'a mut World,
    pub(super) behaviour: &'a mut Behaviour,
    /// What goes on from call to call.
    pub(super) memory: &'a mut Memory,
    pub(super) now: Sec,
    /// Such as `http://127.0.0.1:8080`, from the request.
    pub(super) base: String,
    /// Path as sent.
    pub(super) raw_path: String,
    /// Path behind the version, without `.json`.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
}

/// What goes on from call to call.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Foreign addresses that were used.
    pub(super) foreign: usize,
    /// Cursors and when they were given out.
    pub(super) cursors: std::collections::HashMap<String, Sec>,
    /// Cursors that are not among those above are refused with this status.
    pub(super) refuse: Option<u16>,
}

impl Call<'_> {
    /// The first value of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter();
        pairs
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            // One client sends `include=None`.
            .filter(|value| *value != "None")
    }

    /// Whether a parameter says yes.
    pub(super) fn is_on(&self, name: &str) -> bool {
        matches!(self.parameter(name), Some("true" | "1"))
    }

    /// A number at the beginning of a parameter: `1672531200.0` and `2026-11-22T01:28:02Z` are known to be
    /// sent where seconds are meant.
    pub(super) fn seconds(&self, name: &str) -> Option<Sec> {
        let value = self.parameter(name)?.trim();
        let end = value
            .char_indices()
            .find(|(at, letter)| !(letter.is_ascii_digit() || *at == 0 && *letter == '-'))
            .map_or(value.len(), |(at, _)| at);
        value.get(..end)?.parse().ok()
    }

    /// Whether `include` names a sideload.
    pub(super) fn includes(&self, name: &str) -> bool {
        let include = self.parameter("include").unwrap_or_default();
        include.split(',').any(|part| part.trim() == name)
    }

    /// The address of another page: this path with some parameters replaced or removed.
    pub(super) fn page_url(&mut self, replace: &[(&str, &str)], remove: &[&str]) -> String {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for (name, value) in &self.query {
            let is_replaced = replace.iter().any(|(other, _)| other == name);
            if !is_replaced && !remove.contains(&name.as_str()) {
                pairs.push((name, value));
            }
        }
        pairs.extend(replace);
        let query: String = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        let rest = format!("{}?{query}", self.raw_path);
        let foreign = &self.behaviour.foreign_urls;
        if foreign.is_empty() {
            return format!("{}{rest}", self.base);
        }
        let text = foreign.get(self.memory.foreign % foreign.len());
        self.memory.foreign += 1;
        text.map_or(String::new(), |text| text.replace("{rest}", &rest))
    }

    /// Takes one of a counted fault.
    pub(super) fn take(count: &mut u64) -> bool {
        let is_there = *count > 0;
        *count = count.saturating_sub(1);
        is_there
    }
}

/// Parameters of a query, decoded; brackets may come raw or encoded.
pub(super) fn parameters(request: &Request) -> Vec<(String, String)> {
    request.query_pairs()
}
