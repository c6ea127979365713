//! A greeting of any size, in pieces that a message can hold.

use prost::Message;

use crate::agent::{Hello, LedgerRow};

/// Sessions in one piece, bytes: well below the 4 MiB that tonic takes.
const PIECE: usize = 1 << 20;

/// The greeting with these sessions. All pieces but the last say that there is more; the last alone has the
/// cluster.
pub fn greeting_in_pieces(
    greeting: Hello,
    rows: impl IntoIterator<Item = LedgerRow>,
) -> Vec<Hello> {
    let Hello { cluster, .. } = greeting;
    let first = Hello { cluster: None, sessions: Vec::new(), more: true, ..greeting };
    let mut pieces = Vec::new();
    let mut piece = first.clone();
    let mut size = 0;
    for row in rows {
        let length = row.encoded_len();
        if size + length > PIECE && size > 0 {
            pieces.push(std::mem::replace(&mut piece, first.clone()));
            size = 0;
        }
        size += length;
        piece.sessions.push(row);
    }
    pieces.push(Hello { cluster, more: false, ..piece });
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::ClusterView;

    #[test]
    fn a_large_ledger_goes_in_pieces() {
        let row = |n: usize| LedgerRow {
            session: n.to_string(),
            start_order: "x".repeat(1000),
            ..LedgerRow::default()
        };
        let greeting = || Hello {
            name: "host".into(),
            cluster: Some(ClusterView::default()),
            ..Hello::default()
        };
        let pieces = greeting_in_pieces(greeting(), (0..5000).map(row));
        assert!(pieces.len() > 4);
        assert!(pieces.iter().all(|piece| piece.encoded_len() < PIECE + 64 * 1024));
        let (last, others) = pieces.split_last().unwrap();
        assert!(others.iter().all(|piece| piece.more && piece.cluster.is_none()));
        assert!(!last.more && last.cluster.is_some());
        assert!(pieces.iter().all(|piece| piece.name == "host"));
        let sessions: Vec<_> = pieces.iter().flat_map(|piece| &piece.sessions).collect();
        assert_eq!(sessions.len(), 5000);
        let empty = greeting_in_pieces(greeting(), []);
        assert_eq!((empty.len(), empty[0].more), (1, false));
    }
}
