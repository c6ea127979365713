//! Clients that nobody here wrote: TigerVNC's viewer and a VNC library from PyPI. noVNC is in every
//! browser test.

use std::path::Path;
use std::process::Stdio;

use abide_e2e::image::Image;
use abide_e2e::outside;
use abide_e2e::scene::{colour_of, photo};
use abide_e2e::wait::{SOON, until};
use abide_e2e::x::Display;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::command_line::{CommandLine, lines};
use crate::support::{World, alike, patch_in, photo_in, scene, scene_of};

/// A screen for a viewer's window, without a window manager: whatever is under the pointer gets the
/// keys.
struct Screen {
    number: String,
    _server: Child,
}

impl Screen {
    async fn start(folder: &Path) -> Self {
        let mut server = Command::new("Xvnc");
        server.args(["-displayfd", "1", "-SecurityTypes", "None", "-rfbport", "-1"]);
        server.args(["-geometry", "1280x800", "-depth", "24", "-nolisten", "tcp", "-ac"]);
        server.arg("-rfbunixpath").arg(folder.join("screen.sock"));
        server.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = server.kill_on_drop(true).spawn().unwrap();
        let mut said = lines(&mut server);
        let number = timeout(SOON, said.next_line()).await.unwrap().unwrap().unwrap();
        Self { number: format!(":{number}"), _server: server }
    }
}

#[tokio::test]
async fn tigervncs_viewer_works_a_session() {
    let world = World::start(1, scene()).await;
    let ada = world.person("ada").await;
    let line = CommandLine::of(&world, &ada).await;
    let screen = Screen::start(line.home.path()).await;
    let mut connect = line.abide(&["connect"]);
    connect.env("DISPLAY", &screen.number);
    let mut connect = connect.spawn().unwrap();

    let outer = until("the screen is there", async || Display::connect_freely(&screen.number).ok());
    let outer = outer.await.unwrap();
    // Where the viewer puts its window is its own business.
    let shown = async || {
        let screen = outer.screen().unwrap();
        let (x, y) = screen.find(&photo())?;
        Some(screen.part(x, y, screen.width(), screen.height()))
    };
    until("the viewer shows the photo", async || {
        shown().await.filter(|it| alike(&photo(), &photo_in(it)))
    })
    .await
    .unwrap();
    let session = ada.only_session().await;
    assert_eq!(session.viewers, 1);
    let inner = scene_of(&session.id).await;
    outer.focus().unwrap();
    outer.press('q'.into()).unwrap();
    until("the session shows the key", async || {
        (patch_in(&inner.screen().unwrap()) == colour_of('q'.into())).then_some(())
    })
    .await
    .unwrap();
    until("the viewer shows the key", async || {
        shown().await.filter(|it| patch_in(it) == colour_of('q'.into()))
    })
    .await
    .unwrap();

    // The viewer's window goes with its screen: the person has left, the desktop goes on.
    drop(screen);
    let left = timeout(SOON, connect.wait()).await.unwrap().unwrap();
    assert_eq!(left.code(), Some(0));
    assert_eq!(ada.open().await.session.id, session.id);
    assert_eq!(patch_in(&inner.screen().unwrap()), colour_of('q'.into()));
}

#[tokio::test]
async fn a_vnc_library_from_pypi_works_a_session() {
    let python = tokio::task::spawn_blocking(outside::python).await.unwrap().unwrap();
    let world = World::start(1, scene()).await;
    let ada = world.person("ada").await;
    let line = CommandLine::of(&world, &ada).await;
    let mut connect = line.abide(&["connect", "--listen", "127.0.0.1:0"]);
    let mut connect = connect.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = lines(&mut connect);
    let mut next = async || timeout(SOON, said.next_line()).await.unwrap().unwrap().unwrap();
    let (address, password) = (next().await, next().await);
    let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();

    let files = ["before", "after"].map(|it| line.home.path().join(it));
    let mut client = Command::new(python);
    client.arg(outside::package().join("python/client.py")).kill_on_drop(true);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = client.stdin.take().unwrap();
    let [before, after] = &files;
    let task = json!({
        "port": port, "password": password, "key": "w", "before": before, "after": after,
    });
    input.write_all(format!("{task}\n").as_bytes()).await.unwrap();
    let mut said = lines(&mut client);
    let mut next = async || timeout(SOON, said.next_line()).await.unwrap().unwrap();
    let size = next().await.expect("the client failed");
    let (width, height) = size.split_once(' ').unwrap();
    let (width, height) = (width.parse().unwrap(), height.parse().unwrap());
    let read = |path: &Path| Image::new(width, height, std::fs::read(path).unwrap()).unwrap();

    let session = ada.only_session().await;
    let inner = scene_of(&session.id).await;
    assert_eq!(
        (inner.screen().unwrap().width(), inner.screen().unwrap().height()),
        (width, height)
    );
    while {
        next().await.expect("the client failed");
        patch_in(&read(after)) != colour_of('w'.into())
    } {}
    assert!(alike(&photo(), &photo_in(&read(after))));
    assert_eq!(patch_in(&inner.screen().unwrap()), colour_of('w'.into()));
    drop(input);
    assert!(timeout(SOON, client.wait()).await.unwrap().unwrap().success());
    assert!(connect.try_wait().unwrap().is_none(), "the port is there for the next client");
    assert!(before.exists());
}
