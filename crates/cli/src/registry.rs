//! The connectors that this binary knows. A new one is one dependency line and one line here.

use overlock_core::{Connector, Error, ErrorKind, Result};

use crate::suggest;

/// Every connector.
pub(crate) const CONNECTORS: &[&dyn Connector] = &[
    &overlock_salesforce::Connector,
    &overlock_zendesk::Connector,
    &overlock_zuora::Connector,
];

/// The connector of this name.
///
/// # Errors
/// `Config` with a suggestion.
pub(crate) fn connector(name: &str) -> Result<&'static dyn Connector> {
    let found = CONNECTORS.iter().find(|one| one.name() == name);
    found.copied().ok_or_else(|| {
        let shown = overlock_core::text::printable(name);
        let error = Error::new(ErrorKind::Config, format!("find a connector `{shown}`"));
        match suggest::sentence(name, CONNECTORS.iter().map(|one| one.name())) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}
