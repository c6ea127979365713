//! Generates the messages (and, with feature `grpc`, the services) without needing `protoc`.

use std::path::Path;

const FILES: [&str; 3] = ["agent.v1.proto", "keeper.v1.proto", "table.v1.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new("proto/abide");
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(FILES.map(|file| folder.join(file)), ["proto"])?;
    let grpc = std::env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure()
        .build_client(grpc)
        .build_server(grpc)
        .compile_fds(descriptors)?;
    Ok(())
}
