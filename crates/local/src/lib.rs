//! The embedded default destination: committed folders of Parquet, and a reader over them.
