//! Snowflake over the wire: the driver, guarded.

mod codes;
mod config;
mod login;
mod session;
mod upload;
mod wire;

pub(crate) use codes::AGAIN;
pub use config::{Account, Auth};
pub use session::SnowflakeWarehouse;
