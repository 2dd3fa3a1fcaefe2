//! Zendesk Support: one export pass, every stream, to Arrow pages.

#[cfg(feature = "emulator")]
pub mod emulator;
