//! Asking again and again until something is done: asynchronous jobs at the source.

use std::future::Future;
use std::time::Duration;

use overlock_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

/// How often and for how long to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    /// Pause before the second question.
    pub first: Duration,
    /// The pause grows by half each time, up to this.
    pub cap: Duration,
    /// Time after which nobody asks any more.
    pub budget: Duration,
}

impl Default for Poll {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(2),
            cap: Duration::from_secs(60),
            budget: Duration::from_secs(6 * 3_600),
        }
    }
}

/// Calls `ask` until it gives a value. `what` completes the sentence "wait for ...".
///
/// # Errors
/// `Unavailable` if the budget is over; whatever `ask` returns.
pub async fn poll<T, F>(poll: Poll, what: &str, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let started = Instant::now();
    let mut pause = poll.first;
    loop {
        if let Some(value) = ask().await? {
            return Ok(value);
        }
        if started.elapsed().saturating_add(pause) > poll.budget {
            let budget = crate::duration::format(poll.budget);
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("wait for {what}: it is not done after {budget}"),
            )
            .hint("the service is busy: try again later, or ask for less at a time"));
        }
        crate::sleep(pause).await;
        pause = pause.saturating_add(pause / 2).min(poll.cap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_their_cap() {
        let started = Instant::now();
        let mut asked = Vec::new();
        let done = poll(Poll::default(), "the job", || {
            asked.push(started.elapsed().as_secs());
            let done = (asked.len() == 12).then_some("done");
            async move { Ok(done) }
        });
        assert_eq!(done.await.unwrap(), "done");
        assert_eq!(asked[..4], [0, 2, 5, 9]);
        assert!(asked.windows(2).all(|pair| pair[1] - pair[0] <= 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_never_ends_is_given_up() {
        // covers: L8
        let started = Instant::now();
        let never = poll(Poll::default(), "the job", || async { Ok(None::<()>) });
        let error = never.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(started.elapsed() <= Poll::default().budget);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_ends_it_at_once() {
        let error = poll(Poll::default(), "the job", || async {
            Err::<Option<()>, _>(Error::new(ErrorKind::NotFound, "find the job"))
        });
        assert_eq!(error.await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
