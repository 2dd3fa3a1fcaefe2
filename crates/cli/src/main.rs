//! The binary: arguments, config files, registry, rendering, exit codes.

fn main() -> std::process::ExitCode {
    overlock_cli::main()
}
