//! What a broker is greeted with: the whole ledger, in pieces.

use abide_wire::agent::{ClusterView, Fence, Hello, LedgerRow, Profile};
use prost::Message;

use crate::settings::Settings;

/// The version of the protocol that this agent speaks.
const PROTOCOL: u32 = 1;
/// Sessions in one piece, bytes: well below the 4 MiB that tonic takes.
const PIECE: usize = 1 << 20;

/// The greeting. All pieces but the last say that there is more.
pub(super) fn hello(
    settings: &Settings,
    boot: &str,
    fence: Fence,
    rows: Vec<LedgerRow>,
    told: ClusterView,
) -> Vec<Hello> {
    let profiles = settings
        .profiles
        .iter()
        .map(|profile| Profile { name: profile.name.to_string(), title: profile.title.clone() });
    let first = Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: boot.to_owned(),
        name: settings.name.clone(),
        public_url: settings.public_url.to_string(),
        weight: settings.weight,
        profiles: profiles.collect(),
        fence: Some(fence),
        sessions: Vec::new(),
        more: false,
        cluster: None,
    };
    let mut pieces = vec![first.clone()];
    let mut size = 0;
    for row in rows {
        let length = row.encoded_len();
        if size + length > PIECE && size > 0 {
            pieces.push(first.clone());
            size = 0;
        }
        size += length;
        if let Some(piece) = pieces.last_mut() {
            piece.sessions.push(row);
        }
    }
    let last = pieces.len() - 1;
    for piece in &mut pieces[..last] {
        piece.more = true;
    }
    pieces[last].cluster = Some(told);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::settings;

    #[test]
    fn a_large_ledger_goes_in_pieces() {
        let row = |n: usize| LedgerRow {
            session: n.to_string(),
            start_order: "x".repeat(1000),
            ..LedgerRow::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let rows = (0..5000).map(row).collect();
        let pieces = hello(&settings, "boot", Fence::default(), rows, ClusterView::default());
        assert!(pieces.len() > 4);
        assert!(pieces.iter().all(|piece| piece.encoded_len() < PIECE + 64 * 1024));
        assert!(pieces.iter().rev().skip(1).all(|piece| piece.more));
        let sessions: Vec<_> = pieces.iter().flat_map(|piece| &piece.sessions).collect();
        assert_eq!(sessions.len(), 5000);
        assert!(!pieces.last().unwrap().more);
        let none = ClusterView::default();
        let empty = hello(&settings, "boot", Fence::default(), Vec::new(), none);
        assert_eq!((empty.len(), empty[0].more), (1, false));
    }
}
