//! What every connector would otherwise write again: HTTP with care, rows to Arrow, windows, polling.
//!
//! A connector is left with what only it can know: how its service speaks. It never sleeps, retries or
//! limits by hand (rule S4); it asks [`http::Http`], [`poll()`] and [`Limits`] to do so.
//!
//! **Invariant:** only this crate sleeps, and nothing here outlives the value that was returned.

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod duration;
pub mod files;
pub mod http;
mod limits;
pub mod out;
mod poll;
pub mod rows;
mod window;
mod windows;

pub use http::{Http, HttpConfig};
pub use limits::{Limit, Limits, Permit};
pub use poll::{Poll, poll};
pub use windows::{Window, windows};

/// Sleeps; the only place in the house that does.
pub async fn sleep(duration: std::time::Duration) {
    tokio::time::sleep(duration).await;
}
