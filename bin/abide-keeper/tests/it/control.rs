//! The control socket of a living keeper.

use std::io::{Read, Write};

use abide_wire::frame;
use abide_wire::keeper::{ControlEvent, control_event::Event};

use crate::desk::{Desk, start};

#[test]
fn rubbish_costs_its_sender_the_connection_and_nobody_else_anything() {
    let desk = Desk::new();
    let mut kept = start(&desk.spec(&["sleep", "1000"]));
    let mut watcher = kept.control();
    let greeting: ControlEvent = frame::read(&mut watcher).unwrap();
    assert_eq!(greeting.event, Some(Event::Status(kept.status.clone())));

    for rubbish in [&[0xff; 4096][..], &[0, 0, 0, 0], b"GET / HTTP/1.1\r\n\r\n", &[0, 0, 0x0f]] {
        let mut stream = kept.control();
        // The keeper may close before all of it is written.
        let _ = stream.write_all(rubbish);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert!(kept.keeper_lives());
    // More than there is room for.
    let crowd: Vec<_> = (0..30).map(|_| kept.control()).collect();
    drop(crowd);

    let ended = kept.end("done");
    let event: ControlEvent = frame::read(&mut watcher).unwrap();
    assert_eq!(event.event, Some(Event::Ended(ended)));
}
