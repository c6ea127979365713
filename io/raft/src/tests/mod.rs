//! The engine as its users meet it.

mod disk;
mod kill;
mod measure;
mod single;
mod storage;
mod takeover;
mod trio;

use std::future::Future;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use imbl::HashMap;
use uuid::Uuid;

use crate::{
    DecodeError, EncodeError, Formation, Machine, NoPeers, Peer, Raft, RestoreError, Role,
    Settings, Start, StartError,
};

const CLUSTER: Uuid = Uuid::from_u128(7);
/// Long enough for a busy machine; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_secs(30);

/// A map from numbers to bytes, which counts its steps.
#[derive(Clone, Default, PartialEq, Debug)]
struct Table {
    rows: HashMap<u64, Arc<[u8]>>,
    steps: u64,
}

#[derive(Debug, Clone, PartialEq)]
struct Put {
    key: u64,
    value: Vec<u8>,
    essential: bool,
}

fn put(key: u64, value: impl Into<Vec<u8>>) -> Put {
    Put { key, value: value.into(), essential: false }
}

/// What the group cannot read yet.
const UNSPOKEN: &[u8] = b"unspoken";
/// What is of a newer version.
const NEWER: &[u8] = b"newer";

impl Machine for Table {
    type Command = Put;
    type Outcome = u64;

    fn encode(&self, command: &Put) -> Result<Vec<u8>, EncodeError> {
        if command.value == UNSPOKEN {
            return Err(EncodeError("not everybody reads it".into()));
        }
        let mut bytes = command.key.to_le_bytes().to_vec();
        bytes.push(command.essential.into());
        bytes.extend(&command.value);
        Ok(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Put, DecodeError> {
        let (key, rest) = bytes.split_first_chunk().ok_or_else(|| DecodeError("short".into()))?;
        let (essential, value) = rest.split_first().ok_or_else(|| DecodeError("short".into()))?;
        let key = u64::from_le_bytes(*key);
        Ok(Put { key, value: value.to_vec(), essential: *essential != 0 })
    }

    fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        match bytes.ends_with(NEWER) {
            true => Err(DecodeError("newer".into())),
            false => Ok(()),
        }
    }

    fn is_essential(command: &Put) -> bool {
        command.essential
    }

    fn apply(&mut self, Put { key, value, .. }: Put) -> u64 {
        self.rows.insert(key, value.into());
        self.steps += 1;
        self.steps
    }

    fn freeze(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.steps.to_le_bytes())?;
        for (key, value) in &self.rows {
            out.write_all(&key.to_le_bytes())?;
            out.write_all(&(value.len() as u32).to_le_bytes())?;
            out.write_all(value)?;
        }
        Ok(())
    }

    fn restore(from: &mut dyn Read) -> Result<Self, RestoreError> {
        let mut table = Self::default();
        let (mut eight, mut four) = ([0; 8], [0; 4]);
        from.read_exact(&mut eight)?;
        table.steps = u64::from_le_bytes(eight);
        loop {
            match from.read_exact(&mut eight) {
                Ok(()) => {}
                Err(end) if end.kind() == io::ErrorKind::UnexpectedEof => return Ok(table),
                Err(cause) => return Err(cause.into()),
            }
            from.read_exact(&mut four)?;
            let mut value = vec![0; u32::from_le_bytes(four) as usize];
            from.read_exact(&mut value)?;
            table.rows.insert(u64::from_le_bytes(eight), value.into());
        }
    }
}

fn alone(folder: &Path, settings: Settings) -> Start {
    Start {
        folder: folder.to_owned(),
        cluster: CLUSTER,
        formation: Formation::Alone(Peer { address: "127.0.0.1:1".into(), ..Peer::default() }),
        settings,
        transport: Arc::new(NoPeers),
    }
}

async fn start(folder: &Path) -> Raft<Table> {
    start_with(folder, Settings::default()).await
}

async fn start_with(folder: &Path, settings: Settings) -> Raft<Table> {
    let raft = Raft::start(Table::default(), alone(folder, settings)).await.unwrap();
    serving(&raft).await;
    raft
}

async fn start_error(folder: &Path) -> StartError {
    let started = Raft::start(Table::default(), alone(folder, Settings::default())).await;
    started.map(drop).unwrap_err()
}

async fn serving(raft: &Raft<Table>) {
    let mut leadership = raft.leadership();
    within(leadership.wait_for(|now| now.role == Role::Serving)).await.unwrap();
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("not in time")
}
