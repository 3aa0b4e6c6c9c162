//! Whether a Docker Engine answers. Deliberately a finding even when it does not: *not answering* is seen, not unknown.

use std::time::Duration;

use connect::Looking;
use runbook::condition::Value;
use runbook::finding::Seen;
use runbook::target::Target;
use runbook::text::inert;

use crate::nearly;
use crate::seen::Fields;

pub(crate) async fn look(looking: &Looking, target: &Target, within: Duration) -> Result<Seen, String> {
    let asking = async {
        let docker = looking.docker(target, within)?;
        let version = docker.version().await?;
        let info = docker.info().await;
        anyhow::Ok((version, info))
    };
    let answer = match tokio::time::timeout(nearly(within), asking).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err(format!("no answer within {}", runbook::text::humanize_duration(nearly(within)))),
    };
    let mut fields = Fields::new();
    match answer {
        Ok((version, info)) => {
            fields.flag("answering", true);
            fields.put(
                "version",
                match version.version {
                    Some(version) => Value::Text(inert(&version, 60)),
                    None => Value::Unknown("the Engine did not say its version".to_owned()),
                },
            );
            fields.put(
                "containers",
                match info {
                    Ok(info) => info
                        .containers
                        .map_or_else(|| Value::Unknown("the Engine did not say".to_owned()), |n| Value::Number(n as f64)),
                    Err(error) => Value::Unknown(inert(&error.to_string(), 300)),
                },
            );
        }
        Err(why) => {
            fields.flag("answering", false).unknown(&["version", "containers"], &inert(&why, 300));
        }
    }
    Ok(fields.seen())
}
