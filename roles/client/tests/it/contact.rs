use abide_client::{Contact, ContactError, first_contact};
use abide_config::BaseUrl;

use crate::mock::*;

#[tokio::test]
async fn a_password_never_crosses_a_network_in_the_clear() {
    let url: BaseUrl = "http://desk.example.org".parse().unwrap();
    assert!(matches!(first_contact(&url).await, Err(ContactError::Plain(_))));
    let url: BaseUrl = "http://192.0.2.1:8080".parse().unwrap();
    assert!(matches!(first_contact(&url).await, Err(ContactError::Plain(_))));
    assert!(matches!(first_contact(&nobody().await).await, Ok(Contact::Believed)));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be_out_of_reach() {
    let nobody = nobody().await;
    let url: BaseUrl = format!("https://127.0.0.1:{}", nobody.port()).parse().unwrap();
    assert!(matches!(first_contact(&url).await, Err(ContactError::Unreachable { .. })));
}
