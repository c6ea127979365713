//! Between the engine's plain messages and those that travel.

use abide_raft::{
    AppendAnswer, AppendRequest, Ballot, Body, Claim, Hearing, NodeId, Position, Record, Stamp,
    VoteAnswer, VoteRequest,
};
use abide_wire::peer as wire;
use abide_wire::peer::{append_reply, record};
use uuid::Uuid;

/// A message that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a message lacks {0}")]
    Missing(&'static str),
    #[error("a message's cluster is no UUID")]
    Cluster(#[from] uuid::Error),
    #[error("a message's JSON cannot be read")]
    Json(#[from] serde_json::Error),
}

pub(crate) fn stamp_out(stamp: Stamp) -> wire::Stamp {
    wire::Stamp {
        cluster: stamp.cluster.to_string(),
        generation: stamp.claim.generation,
        claimant: stamp.claim.claimant.0,
        from: stamp.from.0,
        to: stamp.to.0,
    }
}

pub(crate) fn stamp_in(stamp: Option<wire::Stamp>) -> Result<Stamp, Malformed> {
    let stamp = stamp.ok_or(Malformed::Missing("its stamp"))?;
    Ok(Stamp {
        cluster: stamp.cluster.parse::<Uuid>()?,
        claim: Claim { generation: stamp.generation, claimant: NodeId(stamp.claimant) },
        from: NodeId(stamp.from),
        to: NodeId(stamp.to),
    })
}

pub(crate) fn ballot_out(ballot: Ballot) -> wire::Ballot {
    let Ballot { term, node, committed } = ballot;
    wire::Ballot { term, node: node.0, committed }
}

pub(crate) fn ballot_in(ballot: Option<wire::Ballot>) -> Result<Ballot, Malformed> {
    let wire::Ballot { term, node, committed } = ballot.ok_or(Malformed::Missing("its ballot"))?;
    Ok(Ballot { term, node: NodeId(node), committed })
}

fn position_out(position: Position) -> wire::Position {
    let Position { term, leader, index } = position;
    wire::Position { term, leader: leader.0, index }
}

fn position_in(position: wire::Position) -> Position {
    let wire::Position { term, leader, index } = position;
    Position { term, leader: NodeId(leader), index }
}

pub(crate) fn append_out(
    stamp: Stamp,
    request: AppendRequest,
) -> Result<wire::AppendRequest, Malformed> {
    Ok(wire::AppendRequest {
        stamp: Some(stamp_out(stamp)),
        ballot: Some(ballot_out(request.ballot)),
        previous: request.previous.map(position_out),
        records: request.records.into_iter().map(record_out).collect::<Result<_, _>>()?,
        committed: request.committed.map(position_out),
    })
}

pub(crate) fn append_in(request: wire::AppendRequest) -> Result<(Stamp, AppendRequest), Malformed> {
    let records = request.records.into_iter().map(record_in).collect::<Result<_, _>>()?;
    let append = AppendRequest {
        ballot: ballot_in(request.ballot)?,
        previous: request.previous.map(position_in),
        records,
        committed: request.committed.map(position_in),
    };
    Ok((stamp_in(request.stamp)?, append))
}

fn record_out(record: Record) -> Result<wire::Record, Malformed> {
    let body = match record.body {
        Body::Blank => record::Body::Blank(wire::Blank {}),
        Body::Commands(commands) => record::Body::Commands(commands),
        Body::Members(members) => record::Body::Members(serde_json::to_vec(&members)?.into()),
    };
    Ok(wire::Record { position: Some(position_out(record.position)), body: Some(body) })
}

fn record_in(record: wire::Record) -> Result<Record, Malformed> {
    let position = record.position.ok_or(Malformed::Missing("a record's position"))?;
    let body = match record.body.ok_or(Malformed::Missing("a record's body"))? {
        record::Body::Blank(_) => Body::Blank,
        record::Body::Commands(commands) => Body::Commands(commands),
        record::Body::Members(members) => Body::Members(serde_json::from_slice(&members)?),
    };
    Ok(Record { position: position_in(position), body })
}

pub(crate) fn appended_out(answer: AppendAnswer) -> wire::AppendReply {
    use append_reply::Answer;
    let answer = match answer {
        AppendAnswer::Accepted => Answer::Accepted(wire::Blank {}),
        AppendAnswer::AcceptedUpTo(at) => {
            Answer::AcceptedUpTo(wire::UpTo { position: at.map(position_out) })
        }
        AppendAnswer::Conflict => Answer::Conflict(wire::Blank {}),
        AppendAnswer::HigherBallot(ballot) => Answer::Higher(ballot_out(ballot)),
    };
    wire::AppendReply { answer: Some(answer) }
}

pub(crate) fn appended_in(reply: wire::AppendReply) -> Result<AppendAnswer, Malformed> {
    use append_reply::Answer;
    Ok(match reply.answer.ok_or(Malformed::Missing("its answer"))? {
        Answer::Accepted(_) => AppendAnswer::Accepted,
        Answer::AcceptedUpTo(up_to) => AppendAnswer::AcceptedUpTo(up_to.position.map(position_in)),
        Answer::Conflict(_) => AppendAnswer::Conflict,
        Answer::Higher(ballot) => AppendAnswer::HigherBallot(ballot_in(Some(ballot))?),
    })
}

pub(crate) fn vote_out(stamp: Stamp, request: &VoteRequest) -> wire::VoteRequest {
    wire::VoteRequest {
        stamp: Some(stamp_out(stamp)),
        ballot: Some(ballot_out(request.ballot)),
        last: request.last.map(position_out),
    }
}

pub(crate) fn vote_in(request: wire::VoteRequest) -> Result<(Stamp, VoteRequest), Malformed> {
    let vote =
        VoteRequest { ballot: ballot_in(request.ballot)?, last: request.last.map(position_in) };
    Ok((stamp_in(request.stamp)?, vote))
}

pub(crate) fn voted_out(answer: &VoteAnswer) -> wire::VoteReply {
    wire::VoteReply {
        ballot: Some(ballot_out(answer.ballot)),
        granted: answer.granted,
        last: answer.last.map(position_out),
    }
}

pub(crate) fn voted_in(reply: wire::VoteReply) -> Result<VoteAnswer, Malformed> {
    Ok(VoteAnswer {
        ballot: ballot_in(reply.ballot)?,
        granted: reply.granted,
        last: reply.last.map(position_in),
    })
}

pub(crate) fn hearing_out(hearing: Hearing) -> wire::HearingReply {
    wire::HearingReply { hears_leader: hearing.hears_leader, last: hearing.last.map(position_out) }
}

pub(crate) fn hearing_in(reply: wire::HearingReply) -> Hearing {
    Hearing { hears_leader: reply.hears_leader, last: reply.last.map(position_in) }
}
