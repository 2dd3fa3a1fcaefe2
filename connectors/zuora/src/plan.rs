//! What a run is about to read, put into as few jobs as there can be: up to 50 queries of one snapshot each, all with
//! the same end of their windows.
//!
//! Whoever reads first runs the job of its stream; the others find their results. A stream that is read in another way
//! than was planned makes a job of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use overlock_core::{ReadRequest, Result, State, Timestamp};
use tokio::sync::{Mutex, OnceCell};

use crate::jobs::{Ask, Outcome, Tenant};
use crate::limits;

/// What the engine said it will read.
#[derive(Debug, Default)]
pub(crate) struct Foreseen {
    pub(crate) requests: Vec<ReadRequest>,
    pub(crate) plan: OnceCell<Arc<Plan>>,
}

/// The jobs of a run.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Where the windows of this run end.
    pub(crate) upper: Option<Timestamp>,
    places: BTreeMap<(String, String), Place>,
}

/// Where the result of a stream will be.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    batch: Arc<Batch>,
    number: usize,
    state: Option<State>,
}

/// One job.
#[derive(Debug)]
struct Batch {
    entity: String,
    asks: Vec<Ask>,
    outcomes: Mutex<Option<Vec<Option<Outcome>>>>,
}

/// A query that is planned.
pub(crate) struct Planned {
    pub(crate) entity: String,
    pub(crate) ask: Ask,
    /// The state from which it goes on.
    pub(crate) state: Option<State>,
    /// It gets a job of its own.
    pub(crate) own_job: bool,
}

impl Plan {
    /// Puts queries into jobs.
    pub(crate) fn new(upper: Timestamp, planned: Vec<Planned>) -> Self {
        let mut groups: BTreeMap<(String, usize), Vec<Planned>> = BTreeMap::new();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut own = 0;
        for one in planned {
            let group = if one.own_job {
                own += 1;
                usize::MAX - own
            } else {
                let count = counts.entry(one.entity.clone()).or_default();
                *count += 1;
                (*count - 1) / limits::QUERIES_PER_JOB
            };
            groups
                .entry((one.entity.clone(), group))
                .or_default()
                .push(one);
        }
        let mut places = BTreeMap::new();
        for ((entity, _), group) in groups {
            let batch = Arc::new(Batch {
                entity: entity.clone(),
                asks: group.iter().map(|one| one.ask.clone()).collect(),
                outcomes: Mutex::new(None),
            });
            for (number, one) in group.into_iter().enumerate() {
                let key = (one.ask.stream.to_string(), entity.clone());
                let place = Place {
                    batch: Arc::clone(&batch),
                    number,
                    state: one.state,
                };
                places.insert(key, place);
            }
        }
        Self {
            upper: Some(upper),
            places,
        }
    }

    /// Where the result of a stream is, if it was planned to go on from this state.
    pub(crate) fn place(&self, stream: &str, entity: &str, state: Option<&State>) -> Option<Place> {
        let place = self.places.get(&(stream.to_owned(), entity.to_owned()))?;
        (place.state.as_ref() == state).then(|| place.clone())
    }
}

impl Place {
    /// The query as it was planned.
    pub(crate) fn ask(&self) -> Option<&Ask> {
        self.batch.asks.get(self.number)
    }

    /// Takes the result, running the job if nobody has; `None` if it was taken before.
    ///
    /// # Errors
    /// What concerns the whole job; whoever comes next tries again.
    pub(crate) async fn take(&self, tenant: &Tenant<'_>) -> Result<Option<Outcome>> {
        let mut outcomes = self.batch.outcomes.lock().await;
        if outcomes.is_none() {
            let found = tenant.run(&self.batch.entity, &self.batch.asks).await?;
            *outcomes = Some(found.into_iter().map(Some).collect());
        }
        Ok(outcomes
            .as_mut()
            .and_then(|outcomes| outcomes.get_mut(self.number)?.take()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Span;
    use overlock_core::StreamName;

    fn planned(stream: usize, entity: &str, own_job: bool) -> Planned {
        Planned {
            entity: entity.to_owned(),
            ask: Ask {
                stream: StreamName::new(format!("S{stream}")).unwrap(),
                columns: Vec::new(),
                conditions: Vec::new(),
                span: Span::Whole,
                page: None,
                deletes: true,
            },
            state: None,
            own_job,
        }
    }

    #[test]
    fn a_hundred_objects_take_two_jobs_and_the_large_ones_their_own() {
        let jobs = |planned: Vec<Planned>| {
            let plan = Plan::new(Timestamp::EPOCH, planned);
            let batches: std::collections::BTreeSet<*const Batch> = plan
                .places
                .values()
                .map(|place| Arc::as_ptr(&place.batch))
                .collect();
            let most = plan
                .places
                .values()
                .map(|place| place.batch.asks.len())
                .max();
            (plan.places.len(), batches.len(), most)
        };
        let hundred = || (0..100).map(|number| planned(number, "", false)).collect();
        assert_eq!(jobs(hundred()), (100, 2, Some(50)));
        let mut more: Vec<Planned> = hundred();
        more.push(planned(100, "", true));
        more.push(planned(101, "", true));
        assert_eq!(jobs(more), (102, 4, Some(50)));
        let two = ["a", "b"].map(|entity| planned(1, entity, false));
        assert_eq!(jobs(two.into()), (2, 2, Some(1)));
        assert_eq!(jobs(Vec::new()), (0, 0, None));
    }

    #[test]
    fn a_stream_that_goes_on_from_elsewhere_has_no_place() {
        let state = State::new(&serde_json::json!({"v": 1})).unwrap();
        let plan = Plan::new(Timestamp::EPOCH, vec![planned(1, "", false)]);
        assert!(plan.place("S1", "", None).is_some());
        assert!(plan.place("S1", "", Some(&state)).is_none());
        assert!(plan.place("S2", "", None).is_none());
    }
}
