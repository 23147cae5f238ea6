//! The program, the network and its people, before a walk.

use serde_json::json;
use simulator::Account;

use super::walk::Walk;
use crate::support::{LIMIT, Prepared, Running};

/// The account of the session.
pub const SHOP: &str = "4915550001000";
/// People.
pub const MIA: &str = "4917012345678";
pub const BEN: &str = "4917012345679";

/// A person's chat.
pub fn chat(phone: &str) -> String {
    format!("{phone}@c.us")
}

/// A linked session that is ready, and two people.
pub struct Stage {
    pub house: Prepared,
    pub running: Running,
    pub walk: Walk,
    pub shop: Account,
    pub mia: Account,
    pub ben: Account,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these variables of the environment.
    pub async fn with(env: &[(&str, &str)]) -> Self {
        Self::on(Prepared::new().await, env).await
    }

    /// On a folder that is prepared already.
    pub async fn on(house: Prepared, env: &[(&str, &str)]) -> Self {
        let session = house.link(&[SHOP]).await[0];
        let shop = house.network.account(SHOP).unwrap();
        let mia = house.network.add_account(MIA, "Mia").await;
        let ben = house.network.add_account(BEN, "Ben").await;
        let running = house.start_with(env);
        running.api().ready(session).await;
        let mut walk = Walk::new(&running);
        walk.set("sessionId", &json!(session));
        Self { house, running, walk, shop, mia, ben }
    }

    /// Mia writes to the shop; the id of her message, once it is known.
    pub async fn mia_says(&mut self, text: &str) -> String {
        let id = self.mia.send_text(SHOP, text).await.unwrap();
        self.heard(&id).await;
        id
    }

    /// Waits until a message is known.
    pub async fn heard(&mut self, id: &str) {
        let path = format!("./messages?messageId={id}");
        self.walk.until(&path, |page| page["total"] == 1).await;
    }

    /// The shop says something to Mia; the id of the message, once she has it.
    pub async fn shop_says(&mut self, text: &str) -> String {
        let body = json!({ "chatId": chat(MIA), "text": text });
        let sent = self.walk.call("POST", "./messages/send-text", body, 201).await;
        let id = sent["messageId"].as_str().unwrap().to_owned();
        self.mia.wait_for(LIMIT, |message| message.id == id).await.unwrap();
        id
    }

    /// These routes were walked, the program ends in order, and the network understood all that it was asked. The
    /// network itself panics at its end when it did not.
    pub async fn end(self, routes: &[&str]) {
        self.walk.has_walked(routes);
        let status = self.running.terminate();
        assert!(status.success(), "{status}");
        self.house.network.answers_everything().unwrap();
    }
}
