//! Salesforce: Bulk API 2.0 and REST queries to Arrow pages.
