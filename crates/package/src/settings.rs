//! How packages are written.

/// Size limits and compression of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Level of zstd; higher levels cost far more time than they save bytes.
    pub zstd_level: i32,
    /// Rows of a row group at most.
    pub row_group_rows: usize,
    /// Encoded bytes that a row group may hold in memory before it is written.
    pub row_group_bytes: usize,
    /// Bytes of a file after which the next one begins.
    pub file_bytes: u64,
    /// Number the rows in a column `_row`, for destinations that keep no order of rows.
    pub row_numbers: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            zstd_level: 1,
            row_group_rows: 250_000,
            row_group_bytes: 12 << 20,
            file_bytes: 128 << 20,
            row_numbers: false,
        }
    }
}
