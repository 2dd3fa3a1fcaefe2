//! The behaviour of a Zendesk account, for the demo and for tests.
