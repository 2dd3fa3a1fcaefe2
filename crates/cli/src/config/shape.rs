//! Checks a tree against a JSON Schema and says what is wrong where, with suggestions.
//!
//! It knows the part of JSON Schema that our own schemas use, and a few words of ours: `x-overlock-choose`
//! (the key that picks one of `oneOf`), `x-overlock-names` (what the keys of a table may look like),
//! `x-overlock-secret`, and the formats `overlock-duration`, `overlock-instant`, `overlock-url`, `overlock-host`,
//! `overlock-account`, `overlock-name`, `cron` and `timezone`. It never shows a value that may be a secret.

use overlock_core::text::printable;
use overlock_core::{Redactor, SourceName, StreamName, Timestamp};
use serde_json::Value as Json;

use super::files::parse_duration;
use super::problem::{Problem, is_telling};
use super::tree::{Node, Value};
use crate::{schedule, secrets, suggest};

/// Checks trees against one schema.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    /// The whole schema, for `$ref`.
    pub(crate) root: &'a Json,
    /// Learns what looks like a secret in the wrong place, before any message can show it.
    pub(crate) redactor: &'a Redactor,
    /// What was found so far.
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    /// Starts with no problems.
    pub(crate) fn new(root: &'a Json, redactor: &'a Redactor) -> Self {
        Self {
            root,
            redactor,
            problems: Vec::new(),
        }
    }

    /// Checks one node against one schema; `name` is the last step of its path.
    pub(crate) fn check(&mut self, node: &Node, schema: &'a Json, name: &str) {
        let schema = self.resolve(schema);
        if schema.get("x-overlock-secret").is_some() {
            self.check_secret(node, name);
            return;
        }
        if let Some(key) = schema.get("x-overlock-choose").and_then(Json::as_str) {
            if let Some(chosen) = self.choose(node, schema, key, name) {
                self.check(node, chosen, name);
            }
            return;
        }
        let several = schema.get("anyOf").or_else(|| schema.get("oneOf"));
        if let Some(several) = several.and_then(Json::as_array) {
            let words: Vec<&str> = several
                .iter()
                .filter_map(|one| one.get("const").and_then(Json::as_str))
                .collect();
            if words.is_empty() {
                let one = several
                    .iter()
                    .find(|one| one.get("type") != Some(&Json::from("null")));
                if let Some(one) = one {
                    self.check(node, one, name);
                }
            } else {
                self.check_word(node, &words, name);
            }
            return;
        }
        if let Some(word) = schema.get("const").and_then(Json::as_str) {
            self.check_word(node, &[word], name);
            return;
        }
        if let Some(words) = schema.get("enum").and_then(Json::as_array) {
            let texts: Vec<&str> = words.iter().filter_map(Json::as_str).collect();
            if !texts.is_empty() {
                self.check_word(node, &texts, name);
                return;
            }
            if !words.contains(&node.to_json()) && self.has_type(node, schema, name) {
                let choice: Vec<String> = words.iter().map(ToString::to_string).collect();
                self.problems.push(
                    Problem::new(format!("`{name}` cannot have this value"))
                        .at(node.origin.clone())
                        .label(Some(format!("use {}", choice.join(" or ")))),
                );
            }
            return;
        }
        if !self.has_type(node, schema, name) {
            return;
        }
        match &node.value {
            Value::Table(_) => self.check_table(node, schema, name),
            Value::List(items) => {
                if let Some(one) = schema.get("items") {
                    for item in items {
                        self.check(item, one, name);
                    }
                }
            }
            Value::Text(text) | Value::Instant(text) => self.check_format(node, text, schema, name),
            Value::Integer(number) => self.check_range(node, *number, schema, name),
            Value::Fraction(_) | Value::Boolean(_) => {}
        }
    }

    /// Follows `$ref`.
    pub(crate) fn resolve(&self, schema: &'a Json) -> &'a Json {
        schema
            .get("$ref")
            .and_then(Json::as_str)
            .and_then(|path| self.root.pointer(path.trim_start_matches('#')))
            .unwrap_or(schema)
    }

    fn choose(&mut self, node: &Node, schema: &'a Json, key: &str, name: &str) -> Option<&'a Json> {
        let variants = schema.get("oneOf").and_then(Json::as_array)?;
        let word_of = |one: &'a Json| one.pointer(&format!("/properties/{key}/const"))?.as_str();
        let words: Vec<&str> = variants.iter().filter_map(word_of).collect();
        let Some(table) = node.table() else {
            self.wrong_type(node, "a table", name);
            return None;
        };
        let Some(chosen) = table.get(key) else {
            let problem = Problem::new(format!("`{name}` has no key `{key}`"))
                .at(node.key.clone())
                .label(Some(format!("add {key} = \"{}\"", words.join("\" or \""))));
            self.problems.push(problem);
            return None;
        };
        let text = chosen.text()?;
        let found = variants.iter().find(|one| word_of(one) == Some(text));
        if found.is_none() {
            self.check_word(chosen, &words, key);
        }
        found
    }

    fn check_word(&mut self, node: &Node, words: &[&str], name: &str) {
        let Some(text) = node.text() else {
            self.wrong_type(node, "text", name);
            return;
        };
        if words.contains(&text) || is_open(text) {
            return;
        }
        self.problems.push(
            Problem::new(format!("unknown {name} `{}`", printable(text)))
                .at(node.origin.clone())
                .label(suggest::sentence(text, words.iter().copied())),
        );
    }

    fn check_table(&mut self, node: &Node, schema: &'a Json, name: &str) {
        let Some(table) = node.table() else { return };
        let properties = schema.get("properties").and_then(Json::as_object);
        for (key, below) in table {
            if let Some(inner) = properties.and_then(|known| known.get(key)) {
                self.check(below, inner, key);
                continue;
            }
            match schema.get("additionalProperties") {
                Some(Json::Bool(false)) => {
                    let known = properties
                        .into_iter()
                        .flatten()
                        .map(|(key, _)| key.as_str());
                    self.unknown_key(key, below, known.collect());
                }
                Some(inner @ Json::Object(_)) => {
                    self.check_name(key, below, schema);
                    self.check(below, inner, key);
                }
                _ => self.check_name(key, below, schema),
            }
        }
        let required = schema.get("required").and_then(Json::as_array);
        for key in required.into_iter().flatten().filter_map(Json::as_str) {
            if !table.contains_key(key) {
                let what = if name.is_empty() {
                    "this file".to_owned()
                } else {
                    format!("`{name}`")
                };
                let problem = Problem::new(format!("{what} has no key `{key}`"));
                let problem = problem.at(node.key.clone());
                let doc = properties
                    .and_then(|known| known.get(key)?.get("description")?.as_str())
                    .map(|doc| format!("{key}: {}", doc.trim_end_matches('.')));
                self.problems.push(problem.label(doc));
            }
        }
    }

    fn unknown_key(&mut self, key: &str, node: &Node, known: Vec<&str>) {
        let near = suggest::nearest(key, known.iter().copied());
        // A misspelt `client_secret` is where a secret is shown by mistake.
        if is_telling(key) || near.is_some_and(is_telling) {
            learn_all(node, self.redactor);
        }
        self.problems.push(
            Problem::new(format!("unknown key `{}`", printable(key)))
                .at(node.key.clone())
                .label(suggest::sentence(key, known)),
        );
    }

    fn check_name(&mut self, key: &str, node: &Node, schema: &Json) {
        let checked = match schema.get("x-overlock-names").and_then(Json::as_str) {
            Some("name") => SourceName::new(key).err(),
            // `*` stands for all streams that have no table of their own.
            Some("stream") if key == "*" => None,
            Some("stream") => StreamName::new(key).err(),
            _ => None,
        };
        if let Some(error) = checked {
            self.problems.push(
                Problem::new(format!("`{}` cannot be a name here", printable(key)))
                    .at(node.key.clone())
                    .label(error.hint_text().map(ToOwned::to_owned)),
            );
        }
    }

    fn check_secret(&mut self, node: &Node, name: &str) {
        let fine = match &node.value {
            Value::Text(_) => true,
            Value::Table(table) => {
                table.len() == 1
                    && table.iter().all(|(key, value)| {
                        secrets::KINDS.contains(&key.as_str()) && value.text().is_some()
                    })
            }
            _ => false,
        };
        if !fine {
            learn_all(node, self.redactor);
            self.problems.push(
                Problem::new(format!("`{name}` is not a secret reference"))
                    .at(node.origin.clone())
                    .label(Some(secrets::FORMS.to_owned())),
            );
        }
    }

    fn check_format(&mut self, node: &Node, text: &str, schema: &Json, name: &str) {
        if is_open(text) {
            return;
        }
        let wrong = match schema.get("format").and_then(Json::as_str) {
            Some("overlock-duration") => parse_duration(text)
                .is_none()
                .then(|| "write a duration such as 90s, 15m, 2h or 7d".to_owned()),
            Some("overlock-instant") => Timestamp::parse(text)
                .is_err()
                .then(|| "write a date or RFC 3339, such as 2026-01-31T09:30:00Z".to_owned()),
            Some("overlock-url") => url_problem(text).map(ToOwned::to_owned),
            Some("overlock-name") => text
                .trim()
                .is_empty()
                .then(|| "write a name, or leave the key out".to_owned()),
            Some("overlock-account")
                if text.to_ascii_lowercase().contains("snowflakecomputing") =>
            {
                Some("write it without the domain, as in myorg-myaccount".to_owned())
            }
            Some("overlock-host" | "overlock-account") => {
                let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
                let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric());
                (!begins || !text.bytes().all(good))
                    .then(|| "write a name without https:// and without a path".to_owned())
            }
            Some("cron") => schedule::cron_problem(text),
            Some("timezone") => schedule::zone_problem(text),
            _ => None,
        };
        if let Some(wrong) = wrong {
            if schema.get("format").and_then(Json::as_str) == Some("overlock-url") {
                learn_user_info(text, self.redactor);
            }
            self.problems.push(
                Problem::new(format!("`{name}` cannot have this value"))
                    .at(node.origin.clone())
                    .label(Some(wrong)),
            );
        }
    }

    fn check_range(&mut self, node: &Node, number: i64, schema: &Json, name: &str) {
        let least = schema.get("minimum").and_then(Json::as_i64);
        let most = schema.get("maximum").and_then(Json::as_i64);
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            let range = match (least, most) {
                (Some(least), Some(most)) => format!("use a number from {least} to {most}"),
                (Some(least), None) => format!("use {least} or more"),
                (None, most) => format!("use {} or less", most.unwrap_or(i64::MAX)),
            };
            self.problems.push(
                Problem::new(format!("`{name}` is out of range"))
                    .at(node.origin.clone())
                    .label(Some(range)),
            );
        }
    }

    fn has_type(&mut self, node: &Node, schema: &Json, name: &str) -> bool {
        let types: Vec<&str> = match schema.get("type") {
            Some(Json::String(one)) => vec![one],
            Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
            _ => return true,
        };
        let instant = schema.get("format").and_then(Json::as_str) == Some("overlock-instant");
        let fits = types.iter().any(|kind| match (*kind, &node.value) {
            ("string", Value::Text(_))
            | ("integer", Value::Integer(_))
            | ("boolean", Value::Boolean(_))
            | ("array", Value::List(_))
            | ("object", Value::Table(_)) => true,
            ("string", Value::Instant(_)) => instant,
            _ => false,
        });
        if !fits {
            let wanted = match types.first().copied() {
                Some("string") => "text",
                Some("integer") => "a whole number",
                Some("boolean") => "true or false",
                Some("array") => "a list",
                _ => "a table",
            };
            self.wrong_type(node, wanted, name);
        }
        fits
    }

    fn wrong_type(&mut self, node: &Node, wanted: &str, name: &str) {
        if is_telling(name) {
            learn_all(node, self.redactor);
        }
        let what = if name.is_empty() {
            "the file".to_owned()
        } else {
            format!("`{name}`")
        };
        self.problems.push(
            Problem::new(format!("{what} is {}, not {wanted}", node.value.kind()))
                .at(node.origin.clone())
                .label(Some(format!("write {wanted} here"))),
        );
    }
}

/// A text with `${...}` is checked once its variables are known.
fn is_open(text: &str) -> bool {
    text.contains("${")
}

fn learn_all(node: &Node, redactor: &Redactor) {
    match &node.value {
        Value::Text(text) if !secrets::is_reference(text) => redactor.learn(text),
        Value::List(items) => items.iter().for_each(|item| learn_all(item, redactor)),
        Value::Table(table) => table.values().for_each(|below| learn_all(below, redactor)),
        _ => {}
    }
}

fn learn_user_info(text: &str, redactor: &Redactor) {
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or("");
    if let Some((user_info, _)) = authority.rsplit_once('@') {
        user_info.split(':').for_each(|part| redactor.learn(part));
    }
}

/// What is wrong with a base URL: only https is allowed, and http to this very machine.
fn url_problem(text: &str) -> Option<&'static str> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some("remove spaces and control characters");
    }
    let Ok(url) = url::Url::parse(text) else {
        return Some("write a URL such as https://login.salesforce.com");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Some("remove user and password from the URL");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Some("remove what follows `?` or `#`");
    }
    let loopback = match url.host() {
        Some(url::Host::Domain(host)) => host == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return Some("write a URL with a host"),
    };
    match url.scheme() {
        "https" => None,
        "http" if loopback => None,
        "http" => Some("use https; plain http is allowed for 127.0.0.1 only"),
        _ => Some("use https"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_https_urls_and_loopback_pass() {
        // covers: I23
        for good in [
            "https://login.salesforce.com",
            "http://127.0.0.1:8080",
            "http://localhost:1",
        ] {
            assert_eq!(url_problem(good), None, "{good}");
        }
        for bad in [
            "https://user:pass@login.salesforce.com",
            "https://user@login.salesforce.com",
            "file:///etc/passwd",
            "http://login.salesforce.com",
            "http://169.254.169.254/",
            "https://a b",
            "https://a\nb",
            "login.salesforce.com",
            "https://x/?token=1",
            "ftp://x",
        ] {
            assert!(url_problem(bad).is_some(), "{bad}");
        }
    }
}
