//! Snowflake over the wire: the driver, guarded.

mod codes;
mod config;
mod login;
mod session;
mod upload;
mod wire;

pub use config::{Account, Auth};
pub use session::SnowflakeWarehouse;
