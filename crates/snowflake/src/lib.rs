//! The Snowflake destination: rows and state in one transaction, proven by reading them back.
//!
//! [`plan`] says what a commit does as a list of [`Step`]s, [`render`] gives the SQL of each; both are pure.
//! [`Snowflake`] runs them in the session of a [`Warehouse`] and decides by the head alone whether a commit
//! is done. What a step means is written twice: as SQL, and in `memory` on tables in memory, where every
//! gap between two steps can be broken.

mod books;
mod check;
mod client;
mod column;
mod destination;
mod heads;
mod looks;
#[cfg(feature = "conformance")]
pub mod memory;
mod plan;
mod render;
mod sql;
#[cfg(feature = "conformance")]
pub mod stand_in;
mod step;
mod warehouse;

pub use check::Identity;
pub use client::{Account, Auth, Bucket, SnowflakeWarehouse};
pub use column::{Column, ColumnType, Evolution, Mapped, Route, Table, evolve};
pub use destination::Snowflake;
pub use plan::{CompatColumns, OnSchemaChange, Policy, clean, ddl, plan, prepare, target};
pub use render::render;
pub use sql::{Name, Place, normalized};
pub use step::{
    Choice, Claim, Constant, ExternalStage, HeadRow, Keys, Load, Step, StrayValue, Target,
};
pub use warehouse::{Answer, Failure, Session, Tag, Warehouse};
