//! Whether Redis can be reached, for one who only asks.

use redis::AsyncConnectionConfig;

use super::{RedisOptions, options::RedisAddress};

/// Connects and asks for a sign of life; the queue is not touched.
///
/// # Errors
/// What Redis, the network or the options say, in a sentence.
pub async fn redis_answers(options: &RedisOptions) -> Result<(), String> {
    let address = RedisAddress::of(options).map_err(|error| error.to_string())?;
    let limit = options.connect_timeout;
    let asking = async {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(limit));
        let client = &address.client;
        let mut conn = client.get_multiplexed_async_connection_with_config(&config).await?;
        redis::cmd("PING").query_async::<()>(&mut conn).await
    };
    match tokio::time::timeout(limit, asking).await {
        Ok(answered) => answered.map_err(|error: redis::RedisError| error.to_string()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}
