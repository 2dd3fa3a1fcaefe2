//! Everything that the resources share: the world, its habits, and what they remember.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use overlock_core::Timestamp;

use super::action::Locator;
use super::bench::Bench;
use super::data_query::DataQueries;
use super::files::Files;
use super::job::Job;
use super::legacy::Export;
use super::limits::Limits;
use super::oauth::Tokens;
use super::options::Behaviour;
use super::plan::{Rules, View};
use super::world::World;

/// What a stateful session remembers of its last completed job.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) job: String,
    pub(super) start: Timestamp,
    /// Texts of its queries, and what they asked about deleted rows.
    pub(super) queries: Vec<(String, Option<(String, bool)>)>,
    /// The queries as they were submitted.
    pub(super) submitted: serde_json::Value,
}

/// The tenant behind one address.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) world: World,
    pub(super) behaviour: Behaviour,
    pub(super) tokens: Tokens,
    pub(super) limits: Limits,
    pub(super) files: Files,
    pub(super) bench: Option<Arc<Bench>>,
    /// Jobs by id.
    pub(super) jobs: BTreeMap<String, Job>,
    /// Ids of jobs, oldest first.
    pub(super) order: Vec<String>,
    /// By partner and project.
    pub(super) sessions: BTreeMap<(String, String), Session>,
    /// Exports of data sources by id.
    pub(super) exports: BTreeMap<String, Export>,
    /// Jobs of Data Query.
    pub(super) queries: DataQueries,
    pub(super) locators: BTreeMap<String, Locator>,
    /// First answers of posts with an idempotency key.
    pub(super) replays: BTreeMap<String, Bytes>,
    /// Calls by kind.
    pub(super) calls: BTreeMap<&'static str, u64>,
    /// Calls that were answered 429.
    pub(super) refused: u64,
    pub(super) requests: u64,
    serial: u64,
}

impl Tenant {
    pub(super) fn new(world: World) -> Self {
        Self {
            world,
            behaviour: Behaviour::default(),
            tokens: Tokens::default(),
            limits: Limits::default(),
            files: Files::default(),
            bench: None,
            jobs: BTreeMap::new(),
            order: Vec::new(),
            sessions: BTreeMap::new(),
            exports: BTreeMap::new(),
            queries: DataQueries::default(),
            locators: BTreeMap::new(),
            replays: BTreeMap::new(),
            calls: BTreeMap::new(),
            refused: 0,
            requests: 0,
            serial: 0,
        }
    }

    /// A new id: 32 hexadecimal digits.
    pub(super) fn new_id(&mut self) -> String {
        self.serial += 1;
        let mixed = self.serial.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("8ad08f06{:08x}{mixed:016x}", self.serial)
    }

    /// What can be seen at an instant.
    pub(super) fn view(&self, at: Timestamp, entity: Option<usize>) -> View<'_> {
        View {
            world: &self.world,
            at,
            entity,
        }
    }

    /// What queries of AQuA may name.
    pub(super) fn rules(&self) -> Rules<'_> {
        Rules {
            unknown_fields: &self.behaviour.unknown_fields,
            data_source: false,
        }
    }
}
