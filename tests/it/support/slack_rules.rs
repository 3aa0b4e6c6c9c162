//! Block Kit's rules as Slack's documentation and the models of its SDK state them, and what we ask beyond: a fallback, no mention, no
//! link by accident, and a size that was seen to be accepted. The first are refusals in Slack's words, the second complaints.
//! Deliberately only the blocks that are used; any other is refused.

use serde_json::Value;

/// Checks a message.
///
/// # Errors
/// Slack's word for what it would refuse.
pub fn check(body: &Value, complaints: &mut Vec<String>) -> Result<(), String> {
    let text = body["text"].as_str().unwrap_or_default();
    let blocks = body["blocks"].as_array().map(Vec::as_slice).unwrap_or_default();
    if text.is_empty() {
        complaints.push("there is no fallback text".to_owned());
        if blocks.is_empty() {
            return Err("no_text".to_owned());
        }
    }
    if text.chars().count() > 4_000 {
        complaints.push(format!("the fallback has {} characters", text.chars().count()));
    }
    markup(text, complaints);
    if blocks.len() > 50 {
        return Err("invalid_blocks".to_owned());
    }
    let mut total = 0;
    for block in blocks {
        let one = |object: &Value, kind: &str, most: usize| -> Result<usize, String> {
            let text = object["text"].as_str().ok_or("invalid_blocks")?;
            let length = text.encode_utf16().count();
            if object["type"] != kind || length == 0 || length > most {
                return Err("invalid_blocks".to_owned());
            }
            Ok(length)
        };
        match block["type"].as_str() {
            Some("header") => total += one(&block["text"], "plain_text", 150)?,
            Some("section") => {
                total += one(&block["text"], "mrkdwn", 3_000)?;
                verbatim(&block["text"], complaints);
            }
            Some("context") => {
                let elements = block["elements"].as_array().ok_or("invalid_blocks")?;
                if elements.is_empty() || elements.len() > 10 {
                    return Err("invalid_blocks".to_owned());
                }
                for element in elements {
                    total += one(element, "mrkdwn", 3_000)?;
                    verbatim(element, complaints);
                }
            }
            _ => return Err("invalid_blocks".to_owned()),
        }
    }
    // Refused from about 13,200 characters; seen to be accepted up to 9,597 with 15,561 of JSON.
    if total > 13_200 {
        return Err("msg_blocks_too_long".to_owned());
    }
    let json: usize = body["blocks"].to_string().chars().map(|c| if c.is_ascii() { 1 } else { 6 * c.len_utf16() }).sum();
    if total > 9_597 || json > 15_561 {
        complaints.push(format!("{total} characters with {json} of JSON is more than was seen to be accepted"));
    }
    if let Some(metadata) = body.get("metadata") {
        let flat = metadata["event_payload"]
            .as_object()
            .is_some_and(|payload| payload.values().all(|value| !value.is_object() && !value.is_array()));
        if !metadata["event_type"].is_string() || !flat {
            return Err("invalid_metadata_format".to_owned());
        }
    }
    Ok(())
}

fn verbatim(object: &Value, complaints: &mut Vec<String>) {
    if object["verbatim"] != true {
        complaints.push("a text would have its addresses and names made into links".to_owned());
    }
    markup(object["text"].as_str().unwrap_or_default(), complaints);
}

// Nothing in angle brackets but links to addresses, and nothing that calls people.
fn markup(text: &str, complaints: &mut Vec<String>) {
    for (at, _) in text.match_indices('<') {
        let rest = text.get(at..).unwrap_or_default();
        let inside = rest.split('>').next().unwrap_or_default();
        let link = inside.starts_with("<https://runbookd.example/") && inside.contains('|');
        if !link {
            complaints.push(format!("markup that is not ours: {}", inside.chars().take(60).collect::<String>()));
        }
    }
    if text.contains(['\u{202e}', '\u{1b}', '\u{0}']) {
        complaints.push("a character that steers".to_owned());
    }
}
