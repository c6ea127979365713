//! Generates the messages (and, with feature `grpc`, the services) without needing `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let grpc = std::env::var_os("CARGO_FEATURE_GRPC").is_some();
    let generator = || tonic_prost_build::configure().build_client(grpc).build_server(grpc);
    let compile = |files: &[&str]| protox::compile(files, ["proto"]);
    // Long, and told to each agent: one text for all.
    let agents = generator().bytes(".abide.agent.v1.ClusterConfig.text");
    agents.compile_fds(compile(&["abide/agent.v1.proto", "abide/keeper.v1.proto"])?)?;
    // These use the agents' messages; each package is a module of its own here.
    let beside_agents = |name: &str| {
        let folder = std::path::PathBuf::from(std::env::var("OUT_DIR")?).join(name);
        std::fs::create_dir_all(&folder)?;
        let generator = generator().out_dir(folder).extern_path(".abide.agent.v1", "crate::agent");
        Ok::<_, Box<dyn std::error::Error>>(generator)
    };
    let peer = beside_agents("peer")?.bytes(".");
    peer.compile_fds(compile(&["abide/peer.v1.proto"])?)?;
    beside_agents("table")?.compile_fds(compile(&["abide/table.v1.proto"])?)?;
    Ok(())
}
