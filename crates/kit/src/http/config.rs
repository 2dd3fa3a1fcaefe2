//! Bounds of the HTTP client, with the defaults that suit a production run.
//!
//! Connectors embed [`HttpConfig`] under the key `http`, so that a user with a slow network and a test
//! that must be quick turn the same knobs.

use std::time::Duration;

use overlock_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::duration::text;

/// Time-outs, retries and size limits of one source's HTTP client. Durations are text such as `10s`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Longest wait for a connection, TLS included.
    #[serde(with = "text")]
    pub connect_timeout: Duration,
    /// Longest silence while waiting for headers or for more of an ordinary body.
    #[serde(with = "text")]
    pub read_timeout: Duration,
    /// Longest network time of one ordinary request, body included.
    #[serde(with = "text")]
    pub total_timeout: Duration,
    /// Longest silence of a bulk download.
    #[serde(with = "text")]
    pub bulk_read_timeout: Duration,
    /// Longest network time of a bulk download. Time in which nobody asks for more bytes does not count.
    #[serde(with = "text")]
    pub bulk_total_timeout: Duration,
    /// A body that brings fewer bytes per second than this is given up.
    pub min_bytes_per_s: u64,
    /// Over how much waiting the throughput is measured.
    #[serde(with = "text")]
    pub min_bytes_period: Duration,
    /// Tries per request, the first one included.
    pub attempts: u32,
    /// Longest pause before the second try; doubles with each further one. The pause is drawn at random
    /// between zero and this ("full jitter"), so that many clients do not come back at the same moment.
    #[serde(with = "text")]
    pub backoff_base: Duration,
    /// Longest pause that doubling reaches.
    #[serde(with = "text")]
    pub backoff_cap: Duration,
    /// Pause after a 429 that does not say how long.
    #[serde(with = "text")]
    pub rate_limit_wait: Duration,
    /// Longest single pause that the server may ask for; beyond it the run stops and says when to come again.
    #[serde(with = "text")]
    pub max_wait: Duration,
    /// Longest sum of pauses in one run.
    #[serde(with = "text")]
    pub max_total_wait: Duration,
    /// Retries that every run may use up.
    pub retries: u32,
    /// Retries that a run earns in addition, in percent of its requests.
    pub retry_percent: u32,
    /// Largest ordinary body, decompressed.
    pub max_body_bytes: u64,
    /// Largest bulk body, decompressed.
    pub bulk_max_body_bytes: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(60),
            total_timeout: Duration::from_secs(600),
            bulk_read_timeout: Duration::from_secs(300),
            bulk_total_timeout: Duration::from_secs(7_200),
            min_bytes_per_s: 1_024,
            min_bytes_period: Duration::from_secs(60),
            attempts: 6,
            backoff_base: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(60),
            rate_limit_wait: Duration::from_secs(60),
            max_wait: Duration::from_secs(15 * 60),
            max_total_wait: Duration::from_secs(60 * 60),
            retries: 20,
            retry_percent: 10,
            max_body_bytes: 256 << 20,
            bulk_max_body_bytes: 4 << 30,
        }
    }
}

impl HttpConfig {
    /// Refuses values that would make every request fail or none ever end.
    ///
    /// # Errors
    /// `Config` with the key in the context pair `key`.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("http.connect_timeout", !self.connect_timeout.is_zero()),
            ("http.read_timeout", !self.read_timeout.is_zero()),
            ("http.total_timeout", !self.total_timeout.is_zero()),
            ("http.bulk_read_timeout", !self.bulk_read_timeout.is_zero()),
            (
                "http.bulk_total_timeout",
                !self.bulk_total_timeout.is_zero(),
            ),
            ("http.min_bytes_period", !self.min_bytes_period.is_zero()),
            ("http.attempts", self.attempts > 0),
            ("http.max_body_bytes", self.max_body_bytes > 0),
            ("http.bulk_max_body_bytes", self.bulk_max_body_bytes > 0),
        ];
        for (key, good) in positive {
            if !good {
                return Err(
                    Error::new(ErrorKind::Config, format!("accept zero for `{key}`"))
                        .context("key", key)
                        .hint("leave the key out to get its default"),
                );
            }
        }
        if self.attempts > 100 {
            return Err(Error::new(
                ErrorKind::Config,
                "accept more than 100 for `http.attempts`",
            )
            .context("key", "http.attempts")
            .hint("6 tries are usual"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_text_durations_and_unknown_keys_are_refused() {
        let config: HttpConfig =
            serde_json::from_str(r#"{"read_timeout":"250ms","attempts":2}"#).unwrap();
        assert_eq!(config.read_timeout, Duration::from_millis(250));
        assert_eq!(config.attempts, 2);
        assert_eq!(
            config.connect_timeout,
            HttpConfig::default().connect_timeout
        );
        assert!(serde_json::from_str::<HttpConfig>(r#"{"read_time":"1s"}"#).is_err());
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<HttpConfig>(&text).unwrap(), config);
    }

    #[test]
    fn zero_is_refused_where_it_would_stop_everything() {
        let config = HttpConfig {
            attempts: 0,
            ..HttpConfig::default()
        };
        assert_eq!(
            config.validate().unwrap_err().get("key"),
            Some("http.attempts")
        );
        assert!(HttpConfig::default().validate().is_ok());
    }
}
