//! The leader holds the service address: for as long as the engine says that this broker serves.

use abide_address::{Holder, Place, PlaceError, prepare};
use abide_raft::Raft;

use crate::replica::Replica;
use crate::run::BrokerError;
use crate::settings::Settings;

/// Looks whether this host can hold the service address, if there is to be one.
pub(crate) fn look(settings: &Settings) -> Result<Option<Place>, PlaceError> {
    settings.service_address.clone().map(prepare).transpose()
}

/// Holds it until what is given back is dropped.
pub(crate) fn hold(
    place: Option<Place>,
    raft: &Raft<Replica>,
) -> Result<Option<Holder>, BrokerError> {
    let Some(place) = place else { return Ok(None) };
    let raft = raft.clone();
    Holder::start(place, move || raft.serves_for()).map(Some).map_err(BrokerError::Thread)
}
