//! TLS by the cluster's own CA, in a browser that believes it and ignores nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use abide_cluster::{Options, WebTls};
use abide_e2e::browser::Browser;
use abide_e2e::wait::until;

use crate::support::{World, alike, photo_in, scene, scene_of};

/// Puts the CA into the certificate database that Chromium reads.
fn believe(home: &Path, ca: &Path) {
    let folder = home.join(".pki/nssdb");
    fs::create_dir_all(&folder).unwrap();
    let database = format!("sql:{}", folder.display());
    let run = |arguments: &[&str]| {
        let done = Command::new("certutil").arg("-d").arg(&database).args(arguments).output();
        let output = done.expect("install the package libnss3-tools");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "certutil {arguments:?}: {said}");
    };
    run(&["-N", "--empty-password"]);
    run(&["-A", "-t", "C,,", "-n", "abide", "-i", ca.to_str().unwrap()]);
}

#[tokio::test]
async fn a_browser_that_knows_the_clusters_ca_works_over_tls() {
    let options = Options::new().unwrap();
    let profiles = vec![scene()];
    let world = World::with(Options { agents: 1, profiles, tls: WebTls::Cluster, ..options }).await;
    let ada = world.person("ada").await;

    let stranger = tempfile::tempdir().unwrap();
    let browser = Browser::start_at_home("tls-stranger", stranger.path()).await.unwrap();
    let tab = browser.open().await.unwrap();
    let refused = format!("{:#}", tab.goto(&world.url("/")).await.unwrap_err());
    assert!(refused.contains("ERR_CERT_AUTHORITY_INVALID"), "{refused}");

    let home = tempfile::tempdir().unwrap();
    believe(home.path(), &world.cluster.ca_path());
    let browser = Browser::start_at_home("tls", home.path()).await.unwrap();
    let tab = browser.open().await.unwrap();
    world.open_desktop(&tab, &ada.user).await;
    let session = ada.only_session().await;
    let display = scene_of(&session.id).await;
    until("the browser shows what X drew", async || {
        let shown = tab.desktop().await.unwrap();
        alike(&photo_in(&display.screen().unwrap()), &photo_in(&shown)).then_some(())
    })
    .await
    .unwrap();
    tab.shoot("desktop").await.unwrap();
    assert!(tab.url().await.unwrap().starts_with("https://"));
    let cookies = browser.cookies().await.unwrap();
    for cookie in &cookies {
        assert_eq!(cookie["secure"], true, "{cookie}");
        assert_eq!(cookie["httpOnly"], true, "{cookie}");
    }
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert_eq!(browser.complaints().await.unwrap(), Vec::<String>::new());
}
