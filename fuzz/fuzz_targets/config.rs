#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    overlock_cli::fuzz::config(data);
});
