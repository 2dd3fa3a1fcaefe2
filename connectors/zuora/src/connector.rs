//! The registry's view: settings in, source out.

use std::sync::Arc;

use overlock_core::{Config, Context, Result, Source, Spec};

use crate::config::{self, Settings};
use crate::source::Zuora;

/// Zuora Billing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Connector;

impl overlock_core::Connector for Connector {
    fn name(&self) -> &'static str {
        "zuora"
    }

    fn spec(&self) -> Spec {
        config::spec()
    }

    fn connect(&self, config: &Config, cx: &Context) -> Result<Arc<dyn Source>> {
        let settings: Settings = config.parse()?;
        Ok(Arc::new(Zuora::new(settings, cx)?))
    }
}
