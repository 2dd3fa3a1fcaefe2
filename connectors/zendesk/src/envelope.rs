//! A page as it came: where its records are, and what it says about the next one.
//!
//! Zendesk puts the records first and the paging behind them. The paging is read from the end of the body, so
//! that the next page can be asked for before the records are looked at. What is read so is proven: head,
//! records and tail are each whole JSON, so that they are so together; whatever has another form is parsed as a
//! whole.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use overlock_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A page and its paging.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    body: Bytes,
    key: String,
    records: Range<usize>,
    /// Where the records end was found by reading the whole body.
    exact: bool,
    pub(crate) paging: Paging,
}

/// What a page says about the next one. Every key may be missing.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct Paging {
    pub(crate) after_cursor: Option<String>,
    pub(crate) end_of_stream: Option<bool>,
    pub(crate) next_page: Option<String>,
    pub(crate) end_time: Option<i64>,
    pub(crate) count: Option<u64>,
    pub(crate) meta: Option<Meta>,
}

/// The paging of lists.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct Meta {
    pub(crate) has_more: Option<bool>,
    pub(crate) after_cursor: Option<String>,
}

impl Page {
    /// Finds the array `key` in a body.
    ///
    /// # Errors
    /// `Data` if the body is not a JSON object with that array.
    pub(crate) fn parse(body: Bytes, key: &str) -> Result<Self> {
        if let Some((records, paging)) = split(&body, key) {
            return Ok(Self {
                body,
                key: key.to_owned(),
                records,
                exact: false,
                paging,
            });
        }
        Self::whole(body, key)
    }

    fn whole(body: Bytes, key: &str) -> Result<Self> {
        let (records, paging) = whole(&body, key)?;
        Ok(Self {
            body,
            key: key.to_owned(),
            records,
            exact: true,
            paging,
        })
    }

    /// The same page read as a whole, for one whose records turned out not to be one array; `None` if that was done
    /// already. Another list behind the records, such as sideloads, looks like a part of them from the end.
    ///
    /// # Errors
    /// `Data` if the body is not a JSON object with that array.
    pub(crate) fn exact(&self) -> Result<Option<Self>> {
        if self.exact {
            return Ok(None);
        }
        Self::whole(self.body.clone(), &self.key).map(Some)
    }

    /// The JSON array of records.
    pub(crate) fn records(&self) -> Bytes {
        self.body.slice(self.records.clone())
    }

    /// Each record as raw JSON, without decoding it.
    ///
    /// # Errors
    /// `Data` if it is not an array of JSON values.
    pub(crate) fn raw(&self) -> Result<Vec<&RawValue>> {
        let broken = || no_page("its records are not JSON");
        let records = self.body.get(self.records.clone()).unwrap_or_default();
        match serde_json::from_slice(records) {
            Ok(raw) => Ok(raw),
            Err(_) if self.exact => Err(broken()),
            Err(_) => {
                let (records, _) = whole(&self.body, &self.key)?;
                let records = self.body.get(records).unwrap_or_default();
                serde_json::from_slice(records).map_err(|_| broken())
            }
        }
    }

    /// Another array of the same body.
    ///
    /// # Errors
    /// `Data` if there is none.
    pub(crate) fn beside(&self, key: &str) -> Result<Self> {
        Self::whole(self.body.clone(), key)
    }

    /// Whether the array is plainly empty.
    pub(crate) fn is_empty(&self) -> bool {
        let records = self.body.get(self.records.clone()).unwrap_or_default();
        matches!(records, [b'[', rest @ .., b']'] if rest.trim_ascii().is_empty())
    }
}

fn no_page(why: &str) -> Error {
    Error::new(ErrorKind::Data, format!("read a page: {why}"))
        .hint("Zendesk, or a proxy before it, cut or changed the answer: run again")
}

/// `{"key":[...],...}` by its two ends. The middle is checked by whoever decodes it: it must be exactly one array.
fn split(body: &[u8], key: &str) -> Option<(Range<usize>, Paging)> {
    let rest = body.strip_prefix(b"{\"")?;
    let rest = rest.strip_prefix(key.as_bytes())?;
    rest.strip_prefix(b"\":[")?;
    let start = 2 + key.len() + 2;
    let end = memchr::memrchr(b']', body)? + 1;
    let tail = body.get(end..)?;
    let [b',', tail @ ..] = tail else {
        return None;
    };
    // The tail as an object of its own; it has no brackets, so it is some hundred bytes long.
    let mut object = Vec::with_capacity(tail.len() + 1);
    object.push(b'{');
    object.extend_from_slice(tail);
    if memchr::memmem::find(&object, format!("\"{key}\"").as_bytes()).is_some() {
        return None;
    }
    let paging: Paging = serde_json::from_slice(&object).ok()?;
    // No word of paging behind the last list: it may stand before it, and the records end elsewhere.
    (paging != Paging::default()).then_some((start..end, paging))
}

/// The same by reading the whole body.
fn whole(body: &[u8], key: &str) -> Result<(Range<usize>, Paging)> {
    let object: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body)
        .map_err(|_| no_page("the answer is cut, or no JSON object"))?;
    let records = object
        .get(key)
        .map(|records| records.get())
        .filter(|records| records.starts_with('['))
        .ok_or_else(|| no_page(&format!("the answer has no list `{key}`")))?;
    let start = records.as_ptr() as usize - body.as_ptr() as usize;
    let paging = Paging {
        after_cursor: take(object.get("after_cursor"))?,
        end_of_stream: take(object.get("end_of_stream"))?,
        next_page: take(object.get("next_page"))?,
        end_time: take(object.get("end_time"))?,
        count: take(object.get("count"))?,
        meta: take(object.get("meta"))?,
    };
    Ok((start..start + records.len(), paging))
}

fn take<T: serde::de::DeserializeOwned>(raw: Option<&&RawValue>) -> Result<Option<T>> {
    match raw {
        None => Ok(None),
        Some(raw) => serde_json::from_str(raw.get())
            .map_err(|_| no_page("its paging has another form than expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str, key: &str) -> Result<(String, Paging)> {
        let page = Page::parse(Bytes::copy_from_slice(text.as_bytes()), key)?;
        let raw: Vec<&str> = page.raw()?.iter().map(|raw| raw.get()).collect();
        Ok((format!("[{}]", raw.join(",")), page.paging.clone()))
    }

    #[test]
    fn records_and_paging_are_found_in_every_form() {
        let export = r#"{"tickets":[{"id":1,"tags":["a]b"]}],"after_url":"https://h/?c=x","before_url":null,"after_cursor":"MTY=","before_cursor":null,"end_of_stream":false}"#;
        let (records, paging) = page(export, "tickets").unwrap();
        assert_eq!(records, r#"[{"id":1,"tags":["a]b"]}]"#);
        assert_eq!(paging.after_cursor.as_deref(), Some("MTY="));
        assert_eq!(paging.end_of_stream, Some(false));

        let list =
            r#"{"groups":[],"meta":{"has_more":false,"after_cursor":null},"links":{"next":null}}"#;
        let (records, paging) = page(list, "groups").unwrap();
        assert_eq!(records, "[]");
        assert_eq!(paging.meta.unwrap().has_more, Some(false));

        // Other orders, sideloads with brackets, white space.
        let other = "{ \"count\" : 2 , \"users\" : [ {\"id\":1} ] , \"identities\":[{\"id\":5}],\"end_time\":7}";
        let (records, paging) = page(other, "users").unwrap();
        assert_eq!(records, "[{\"id\":1}]");
        assert_eq!(paging.end_time, Some(7));
        assert_eq!(page(other, "identities").unwrap().0, "[{\"id\":5}]");
        let beside = r#"{"users":[{"id":1}],"identities":[{"id":5}],"end_of_stream":true}"#;
        assert_eq!(page(beside, "users").unwrap().0, "[{\"id\":1}]");
        let between = r#"{"tags":[1],"meta":{"has_more":true,"after_cursor":"b"},"x":[]}"#;
        let paging = page(between, "tags").unwrap().1;
        assert_eq!(paging.meta.unwrap().has_more, Some(true));
        assert_eq!(page(r#"{"tags":[1]}"#, "tags").unwrap().0, "[1]");
        // A bracket in the paging.
        let odd = r#"{"tags":[1],"next_page":"x]y"}"#;
        assert_eq!(
            page(odd, "tags").unwrap().1.next_page.as_deref(),
            Some("x]y")
        );
    }

    #[test]
    fn what_is_no_page_is_refused_and_never_empty() {
        // covers: N6, N16
        let export =
            r#"{"tickets":[{"id":1},{"id":2}],"after_cursor":"MTY=","end_of_stream":true}"#;
        for cut in 0..export.len() {
            let part = export.get(..cut).unwrap();
            assert!(page(part, "tickets").is_err(), "cut at {cut}");
        }
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"tickets":null}"#,
            r#"{"tickets":{}}"#,
            r#"{"error":"x"}"#,
            r#"{"tickets":[1],"meta":7}"#,
        ] {
            assert_eq!(
                page(text, "tickets").unwrap_err().kind(),
                ErrorKind::Data,
                "{text}"
            );
        }
    }
}
