//! Failed logins, told to the other brokers, so that guesses spread over all of them are limited as at one.
//!
//! Best effort and in memory: nobody waits for it, and a broker that cannot be reached is not told
//! later. The first failure goes out at once; while others follow quickly they go together.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use abide_auth::{Failure, Throttle};
use abide_wire::peer::{CountFailuresRequest, FailedLogin};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::Status;

use crate::broker::Broker;

/// Failures that wait to be told, and the most of one message. A thousand in [`PAUSE`] is a flood
/// whose addresses are long over their limit everywhere.
pub const QUEUE: usize = 1024;
/// Between two messages to a broker.
const PAUSE: Duration = Duration::from_millis(100);
/// For one message; so some ten are on their way to a broker at most.
const WITHIN: Duration = Duration::from_secs(1);

/// Tells the other brokers of what comes, until this one stops.
pub async fn tell(broker: Broker, mut failures: mpsc::Receiver<Failure>) {
    let (mut batch, mut calls) = (Vec::new(), JoinSet::new());
    while failures.recv_many(&mut batch, QUEUE).await > 0 {
        let request = CountFailuresRequest { failures: batch.drain(..).map(out).collect() };
        let table = broker.raft.latest();
        for other in table.0.brokers().filter(|row| row.id != broker.id) {
            calls.spawn(send(broker.clone(), other.agent_address.clone(), request.clone()));
        }
        while calls.try_join_next().is_some() {}
        sleep(PAUSE).await;
    }
}

/// Counts what another broker tells.
///
/// # Errors
/// It cannot be understood; nothing is counted then.
pub fn count(throttle: &Throttle, request: CountFailuresRequest) -> Result<(), Status> {
    if request.failures.len() > QUEUE {
        return Err(Status::invalid_argument("too many failures at once"));
    }
    let failures: Vec<_> = request.failures.into_iter().map(read).collect::<Result<_, _>>()?;
    let now = Instant::now();
    failures.iter().for_each(|failure| throttle.count_failure(failure, now));
    Ok(())
}

async fn send(broker: Broker, address: String, request: CountFailuresRequest) {
    let mut client = broker.peers.client(&address);
    let answer = timeout(WITHIN, client.count_failures(request)).await.ok();
    broker.peers.judge(&address, answer.as_ref());
}

fn out(Failure { user, from }: Failure) -> FailedLogin {
    FailedLogin { user: user.to_string(), address: from.to_string() }
}

fn read(FailedLogin { user, address }: FailedLogin) -> Result<Failure, Status> {
    let user = user.parse().map_err(|_| Status::invalid_argument("no user's name"))?;
    let from: IpAddr = address.parse().map_err(|_| Status::invalid_argument("no IP address"))?;
    Ok(Failure { user, from })
}

#[cfg(test)]
mod tests {
    use abide_auth::Failures;

    use super::*;

    fn failed(user: &str, address: &str) -> FailedLogin {
        FailedLogin { user: user.into(), address: address.into() }
    }

    #[test]
    fn what_is_told_is_counted_and_what_cannot_be_read_changes_nothing() {
        let throttle = Throttle::default();
        let good = failed("ada", "2001:db8::1");
        for bad in [failed("", "192.0.2.1"), failed("ada", "host.example"), failed("a/b", "::1")] {
            let request = CountFailuresRequest { failures: vec![good.clone(), bad] };
            assert_eq!(count(&throttle, request).unwrap_err().code(), tonic::Code::InvalidArgument);
        }
        let flood = CountFailuresRequest { failures: vec![good.clone(); QUEUE + 1] };
        assert!(count(&throttle, flood).is_err());
        assert_eq!(throttle.failures().elsewhere, 0);

        let told = Failure { user: "ada".parse().unwrap(), from: "2001:db8::1".parse().unwrap() };
        assert_eq!(out(told), good);
        count(&throttle, CountFailuresRequest { failures: vec![good; 2] }).unwrap();
        assert_eq!(throttle.failures(), Failures { here: 0, elsewhere: 2 });
    }
}
