//! The main thing: a desktop in the browser, and the same one later.

use abide_e2e::browser::{Browser, Tab};
use abide_e2e::image::{Difference, Image};
use abide_e2e::scene::photo;
use abide_e2e::wait::until;
use abide_e2e::x::Display;

use crate::support::{World, alike, xfce};

/// Where the test hangs a photo on the desktop: away from panels, icons and new windows.
const PHOTO_AT: (u16, u16) = (900, 60);
/// Prints the octal digits of 6·7·1234 as coloured blocks, green between them. The shell computes it:
/// what can be read from the screen was not in what was typed.
const COMMAND: &str = r#"for d in $(printf %o $((6*7*1234)) | fold -w1); do printf "\e[48;2;$((d*30));9;250m   \e[48;2;9;250;9m "; done; printf '\e[0m\n'"#;
const ANSWER: &[u8] = &[1, 4, 5, 1, 6, 4];

#[tokio::test]
async fn a_desktop_in_the_browser_is_there_again_with_its_text() {
    let world = World::start(1, xfce()).await;
    let ada = world.person("ada").await;
    let browser = Browser::start("desktop").await.unwrap();
    let tab = browser.open().await.unwrap();
    world.open_desktop(&tab, &ada.user).await;
    let session = ada.only_session().await;
    let display = desktop_of(&session.id).await;
    let servers = world.cluster.agents()[0].keeper(&session.id).unwrap();

    same_picture(&tab, &display).await;
    tab.shoot("xfce").await.unwrap();
    display.show(PHOTO_AT.0.cast_signed(), PHOTO_AT.1.cast_signed(), &photo()).unwrap();
    let (first, last) = photo_reaches(&tab, &display).await;
    println!("photo, as JPEG: {first:?}; when all is quiet: {last:?}");
    tab.shoot("photo").await.unwrap();

    tab.press("Control+Alt+t").await.unwrap();
    until("a terminal is there", async || {
        let classes = display.visible_classes().unwrap();
        classes.iter().any(|it| it == "Xfce4-terminal").then_some(())
    })
    .await
    .unwrap();
    type_until_answered(&tab).await;
    tab.shoot("typed").await.unwrap();
    tab.close().await.unwrap();

    // The tab took its token along: the portal asks again.
    let tab = browser.open().await.unwrap();
    world.open_desktop(&tab, &ada.user).await;
    let there = until("the text is still there", async || answered(&tab).await.then_some(())).await;
    tab.shoot("back").await.unwrap();
    there.unwrap();
    same_picture(&tab, &display).await;
    assert_eq!(ada.only_session().await.id, session.id);
    assert_eq!(world.cluster.agents()[0].keeper(&session.id).unwrap(), servers);
    assert_eq!(browser.complaints().await.unwrap(), Vec::<String>::new());
}

/// Waits until XFCE has drawn its panel and its background.
async fn desktop_of(session: &str) -> Display {
    until("XFCE is there", async || {
        let display = Display::of_session(session).ok()?;
        let classes = display.visible_classes().ok()?;
        let all = ["Xfce4-panel", "Xfdesktop"].iter().all(|it| classes.iter().any(|c| c == it));
        all.then_some(display)
    })
    .await
    .unwrap()
}

/// Waits until the browser shows what the X server says that it drew.
async fn same_picture(tab: &Tab, display: &Display) {
    until("the browser shows what X drew", async || {
        let (shown, drawn) = (tab.desktop().await.unwrap(), display.screen().unwrap());
        (drawn.colours() > 100 && alike(&drawn, &shown)).then_some(())
    })
    .await
    .unwrap();
}

/// The difference when the photo was first there, and when nothing moved any more.
async fn photo_reaches(tab: &Tab, display: &Display) -> (Difference, Difference) {
    let part = |image: &Image| image.part(PHOTO_AT.0, PHOTO_AT.1, 256, 256);
    until("the photo is on the desktop", async || {
        (part(&display.screen().unwrap()) == photo()).then_some(())
    })
    .await
    .unwrap();
    let close = async |mean: f64| {
        let reached = until("the photo reaches the browser", async || {
            let it = photo().difference(&part(&tab.desktop().await.unwrap())).unwrap();
            (it.mean < mean).then_some(it)
        });
        reached.await.unwrap()
    };
    let first = close(8.0).await;
    // Xvnc sends again without loss what has not changed for a while.
    let last = close(1.0).await;
    (first, last)
}

/// The shell may not read yet when its window is there: what is typed too early is typed again.
async fn type_until_answered(tab: &Tab) {
    until("the terminal shows the answer", async || {
        tab.type_text(COMMAND).await.unwrap();
        tab.press("Enter").await.unwrap();
        let shown = until("typed and computed", async || answered(tab).await.then_some(()));
        tokio::time::timeout(std::time::Duration::from_secs(5), shown).await.ok()
    })
    .await
    .unwrap()
    .unwrap();
}

async fn answered(tab: &Tab) -> bool {
    let screen = tab.desktop().await.unwrap();
    (0..screen.height()).any(|y| digits(&screen, y) == ANSWER)
}

/// The digits that one line of pixels shows. What is sent with the whole screen comes as JPEG at first:
/// a shade off, and blurred where colours meet. So a block's middle counts.
fn digits(screen: &Image, y: u16) -> Vec<u8> {
    let mut digits = Vec::new();
    let mut block = Vec::new();
    for x in 0..screen.width() {
        match screen.pixel(x, y) {
            [red, 0..60, 200..=255] => block.push(red),
            [_, 200..=255, 0..60] if block.len() > 10 => {
                digits.push(block[block.len() / 2].saturating_add(15) / 30);
                block.clear();
            }
            _ => {}
        }
    }
    digits
}
