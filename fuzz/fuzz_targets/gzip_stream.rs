#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| overlock_kit::http::fuzz::gzip_stream(data));
