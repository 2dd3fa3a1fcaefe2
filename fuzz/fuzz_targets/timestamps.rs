#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| overlock_kit::rows::fuzz::timestamps(data));
