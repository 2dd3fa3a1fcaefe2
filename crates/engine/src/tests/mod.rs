//! Tests of the whole loop: on memory with a crash at every step, and on disk.

mod faults;
mod gather;
mod locks;
mod protocol;
mod script;
pub(crate) mod support;
mod world;

/// Panics of the scripted connector are wanted; only those of the tests should be heard.
pub(crate) fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some("the connector has a defect") {
                loud(info);
            }
        }));
    });
}
