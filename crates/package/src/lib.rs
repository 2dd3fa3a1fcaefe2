//! The only crate that knows Parquet: package folders, manifests, writing, sealing, recovery.
