//! Snowflake over the wire: the driver, guarded.

mod cipher;
mod codes;
mod config;
mod external;
mod login;
mod session;
mod upload;
mod wire;

pub(crate) use codes::AGAIN;
pub use config::{Account, Auth};
pub use external::Bucket;
pub use session::SnowflakeWarehouse;
