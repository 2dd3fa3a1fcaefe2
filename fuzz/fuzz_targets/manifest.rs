#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    overlock_package::manifest::fuzz(data);
});
