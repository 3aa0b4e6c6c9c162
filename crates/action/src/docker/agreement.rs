//! Whether the `env_file` is what sets the variables that a recreate is to change. Only then does changing it there last: what
//! something else sets would be back at the next `docker-compose up`.
//!
//! The proof is the container: each variable must have in it the value that the file has now, or the file must have the new one
//! already. What speaks against it is named as far as it can be seen: the image's own environment, `environment:` and other
//! `env_file`s of the Compose files. A variable that is in neither is refused too: nothing says that the file would bring it into
//! the container. Deliberately no value in any sentence: a variable may be a secret.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use connect::env_file::{EnvFile, Says};
use runbook::action::Recreate;
use runbook::incident::{IncidentId, Reply};
use runbook::text::inert;

use super::definition::{Definition, Origin};
use super::env;
use super::hand::{Hand, Seen};
use super::reply::Kind;

/// What is compared: all of it may be read without the Engine.
struct Question {
    path: PathBuf,
    set: BTreeMap<String, String>,
    container: BTreeMap<String, String>,
    image: BTreeMap<String, String>,
    labels: HashMap<String, String>,
    incident: IncidentId,
}

/// Sees that the file sets what is to be set, that something changes by it, and that it can be written at the end.
///
/// # Errors
/// The reply: nothing was sent, and why.
pub(super) async fn see(hand: &Hand<'_>, old: &Seen, recreate: &Recreate) -> Result<(), Reply> {
    let Some(path) = &hand.scope.env_file else {
        return Err(hand.no(format!("{} has no `env_file` in the inventory", hand.target.id)));
    };
    let image = old.inspected.image.as_deref().unwrap_or_default();
    let image = match hand.look(hand.docker.inspect_image(image)).await {
        Ok(image) => image.config.and_then(|config| config.env).unwrap_or_default(),
        Err(trouble) if trouble.kind == Kind::Gone => {
            return Err(hand.no("the image is gone from the Engine, so no other container can be made from it; nothing was done"));
        }
        Err(trouble) => return Err(hand.ended("nothing was ordered yet, looking at the image", trouble)),
    };
    let question = Question {
        path: path.into(),
        set: recreate.set.clone(),
        container: variables(old.inspected.config.as_ref().and_then(|config| config.env.as_deref()).unwrap_or_default()),
        image: variables(&image),
        labels: old.inspected.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default(),
        incident: hand.incident(),
    };
    // Disks hang; the act must not.
    let answer = tokio::time::timeout_at(hand.until(), tokio::task::spawn_blocking(move || answer(&question))).await;
    match answer {
        Ok(Ok(answer)) => answer.map_err(|why| hand.no(format!("nothing was done: {why}"))),
        Ok(Err(_)) => Err(hand.no("nothing was done: comparing with the file broke off")),
        Err(_) => Err(hand.no(format!("nothing was done: {path} could not be read in time"))),
    }
}

/// Variables by name; of a name that is there twice the last counts.
pub(super) fn variables(lines: &[String]) -> BTreeMap<String, String> {
    lines.iter().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn answer(question: &Question) -> Result<(), String> {
    let file = EnvFile::read(&question.path)?;
    let definition = Definition::read(&question.labels);
    let mut changes = false;
    for (key, new) in &question.set {
        agrees(question, &file, definition.as_ref(), key, new)?;
        changes |= question.container.get(key) != Some(new);
    }
    if !changes {
        return Err("the container has every one of these values already, so another one would be the same".to_owned());
    }
    let text = file.with(&question.set)?;
    env::rehearse(&file, &text, question.incident)
}

fn agrees(
    question: &Question,
    file: &EnvFile,
    definition: Result<&Definition, &String>,
    key: &str,
    new: &str,
) -> Result<(), String> {
    let name = file.path().display();
    let origin = definition.map_or_else(|why| Origin::Unknown(why.clone()), |definition| definition.origin(file, key));
    let Some(now) = question.container.get(key) else {
        return Err(match file.says(key, "") {
            Says::Nothing => format!(
                "{key} is neither in the container nor in {name}, and nothing says that it would come from there; write it there \
                 with its present value, and bring it in by `docker-compose up -d`"
            ),
            _ => format!("{key} is in {name} and not in the container: {}", culprit(question, &origin, key)),
        });
    };
    match (file.says(key, now), &origin) {
        (Says::Unclear, _) => Err(format!(
            "versions of Compose read {key} in {name} differently (it is there twice, refers to another variable, has a \
             backslash, or is quoted unusually); write it plainly"
        )),
        // That the two agree is no proof where something else sets the same.
        (_, Origin::Else(what)) => Err(format!("{key} does not come from {name}: {what}; change it there")),
        (Says::This, _) => Ok(()),
        (Says::Another, _) if file.says(key, new) == Says::This => Ok(()),
        (Says::Another, _) => Err(format!(
            "{key} has another value in the container than in {name}, so something else sets it: {}",
            culprit(question, &origin, key)
        )),
        (Says::Nothing, _) => Err(format!(
            "{key} is in the container and not in {name}, so something else sets it: {}",
            culprit(question, &origin, key)
        )),
    }
}

/// What sets a variable, as far as it can be seen.
fn culprit(question: &Question, origin: &Origin, key: &str) -> String {
    let of_the_image = question.image.get(key).is_some_and(|value| question.container.get(key) == Some(value));
    match origin {
        Origin::Else(what) => what.clone(),
        _ if of_the_image => "the image's own environment".to_owned(),
        Origin::ThisFile => {
            "the shell in which Compose was run, or the file was changed since the container was made; `docker-compose up -d` would \
             bring it in"
                .to_owned()
        }
        Origin::Unknown(why) => {
            format!("another place, such as `environment:` in the Compose file ({})", inert(why, 200))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        file: &'static str,
        container: &'static [&'static str],
        compose: Option<&'static str>,
        set: &'static [(&'static str, &'static str)],
        wanted: Result<(), &'static str>,
    }

    const PLAIN: Option<&str> = Some("services: {worker: {env_file: .env}}\n");

    fn told(case: &Case) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".env"), case.file).unwrap();
        if let Some(compose) = case.compose {
            std::fs::write(folder.path().join("docker-compose.yml"), compose).unwrap();
        }
        let lines = |lines: &[&str]| variables(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        let labels = [
            ("com.docker.compose.project.config_files", "docker-compose.yml"),
            ("com.docker.compose.project.working_dir", folder.path().to_str().unwrap()),
            ("com.docker.compose.service", "worker"),
        ];
        answer(&Question {
            path: folder.path().join(".env"),
            set: case.set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            container: lines(case.container),
            image: lines(&["PATH=/bin", "IMAGE=hush1"]),
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            incident: IncidentId(7),
        })
    }

    #[test]
    fn only_what_the_file_sets_is_changed_there() {
        let set: &[_] = &[("W", "hush4")];
        let case = |file, container, wanted| Case { file, container, compose: PLAIN, set, wanted };
        let table = [
            case("W=hush2\n", &["W=hush2"], Ok(())),
            case("W=hush4\n", &["W=hush2"], Ok(())),
            case("W=hush3\n", &["W=hush2"], Err("another value in the container")),
            case("W=hush3\n", &["W=hush2"], Err("the shell in which Compose was run, or the file was changed")),
            case("A=1\n", &["W=hush2"], Err("in the container and not in")),
            case("W=hush2\n", &["A=1"], Err("and not in the container")),
            case("A=1\n", &["A=1"], Err("neither in the container nor in")),
            case("W=hush4\n", &["W=hush4"], Err("already")),
            case("W=hush2\nW=hush2\n", &["W=hush2"], Err("write it plainly")),
            case("W=${V}\n", &["W=hush2"], Err("write it plainly")),
            Case { set: &[("W", "hush$V")], ..case("W=hush2\n", &["W=hush2"], Err("cannot be written")) },
            Case { set: &[("IMAGE", "hush4")], ..case("IMAGE=hush3\n", &["IMAGE=hush1"], Err("the image's own environment")) },
            Case { set: &[("W", "hush4"), ("A", "1")], ..case("W=hush2\nA=1\n", &["W=hush2", "A=1"], Ok(())) },
            Case { compose: None, ..case("W=hush2\n", &["W=hush2"], Ok(())) },
            Case { compose: None, ..case("W=hush3\n", &["W=hush2"], Err("another place, such as `environment:`")) },
            Case {
                compose: Some("services: {worker: {env_file: .env, environment: {W: hush2}}}\n"),
                ..case("W=hush2\n", &["W=hush2"], Err("does not come from"))
            },
            Case {
                compose: Some("services: {worker: {env_file: .env, environment: [W=hush2]}}\n"),
                ..case("W=hush3\n", &["W=hush2"], Err("`environment:` of the service in"))
            },
            Case {
                compose: Some("services: {worker: {environment: {W: '${W:-hush2}'}}}\n"),
                ..case("W=hush2\n", &["W=hush2"], Ok(()))
            },
        ];
        for case in table {
            match (told(&case), case.wanted) {
                (Ok(()), Ok(())) => {}
                (Err(why), Err(wanted)) => assert!(why.contains(wanted) && !why.contains("hush"), "{}: {why}", case.file),
                (said, wanted) => panic!("{:?} {:?}: {said:?} instead of {wanted:?}", case.file, case.container),
            }
        }
    }
}
