//! stub
use crate::source::Zuora;
use overlock_core::{Error, ReadRequest, Result, Stream};
use overlock_kit::out::Out;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) name: String,
}
impl Table {
    pub(crate) fn stream(&self, _e: bool, _s: i8) -> Result<Stream> {
        Err(Error::bug("x"))
    }
}
pub(crate) fn is_name(_n: &str) -> bool {
    false
}
pub(crate) async fn extra(_s: &Zuora, _o: &[&str]) -> Result<Vec<String>> {
    Ok(vec![])
}
pub(crate) async fn describe(_s: &Zuora, _n: &str) -> Result<Option<Table>> {
    Ok(None)
}
pub(crate) async fn read(_s: &Zuora, _t: &Table, _r: &ReadRequest, _o: &mut Out) -> Result<()> {
    Ok(())
}
