//! Generates the messages (and, with feature `grpc`, the services) without needing `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let grpc = std::env::var_os("CARGO_FEATURE_GRPC").is_some();
    let generator = || tonic_prost_build::configure().build_client(grpc).build_server(grpc);
    let compile = |files: &[&str]| protox::compile(files, ["proto"]);
    generator().compile_fds(compile(&["abide/agent.v1.proto", "abide/keeper.v1.proto"])?)?;
    generator().bytes(".").compile_fds(compile(&["abide/peer.v1.proto"])?)?;
    // The table's messages use the agents'; each package is a module of its own here.
    let folder = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join("table");
    std::fs::create_dir_all(&folder)?;
    generator()
        .out_dir(folder)
        .extern_path(".abide.agent.v1", "crate::agent")
        .compile_fds(compile(&["abide/table.v1.proto"])?)?;
    Ok(())
}
