//! What the Compose files of a service say of where its variables come from. They are named by the container's own labels and may be
//! out of reach: then nothing is known, and that is said.
//!
//! Why at all: a setting that is changed in one file while another file sets it would be gone at the next `docker-compose up`, at
//! whatever hour that is. Only `environment` and `env_file` are read, with anchors and merges, and no value is kept. What they say
//! only together with something else (`extends`, a path with a variable in it) is unknown. Deliberately no Compose: nothing is
//! interpolated or validated.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connect::container::label;
use connect::env_file::{EnvFile, Says, read_text};
use granit_parser::{Event, Options, Parser, ScalarStyle};
use runbook::text::inert;

const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
const ENVIRONMENT_FILE: &str = "com.docker.compose.project.environment_file";

/// Merges nested deeper than this are not followed.
const DEEPEST: u32 = 8;
/// More nodes than this is no Compose file.
const MOST_NODES: usize = 50_000;

/// Whether a file brings a variable into the service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// It does.
    ThisFile,
    /// Something else does or would, in words.
    Else(String),
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// How `environment` gives a variable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Given {
    /// From the variable of the same name that Compose knows itself.
    Passed,
    /// Otherwise.
    Fixed,
}

/// What the Compose files say of one service.
#[derive(Debug)]
pub(super) struct Definition {
    given: BTreeMap<String, (Given, PathBuf)>,
    env_files: Vec<PathBuf>,
    /// Where Compose itself takes variables from.
    own: PathBuf,
    /// The Compose files, for people.
    files: String,
}

impl Definition {
    /// Reads the files that these labels of a container name. Blocks for as long as the disk does.
    ///
    /// # Errors
    /// Why they say nothing, for people.
    pub(super) fn read(labels: &HashMap<String, String>) -> Result<Self, String> {
        let label = |name: &str| labels.get(name).filter(|value| !value.is_empty());
        let named = label(CONFIG_FILES).ok_or("the container has no label that names its Compose file")?;
        let service = label(label::SERVICE).ok_or("the container has no label that names its service")?;
        let mut folder = label(WORKING_DIR).map(PathBuf::from).unwrap_or_default();
        let paths: Vec<PathBuf> = named.split(',').map(|name| folder.join(name)).collect();
        if folder.as_os_str().is_empty() {
            folder = paths.first().and_then(|path| path.parent()).map(Path::to_owned).unwrap_or_default();
        }
        if !folder.is_absolute() {
            return Err(format!("its label names the Compose file {} without saying where", inert(named, 200)));
        }
        let own = label(ENVIRONMENT_FILE).map_or_else(|| folder.join(".env"), |name| folder.join(name));
        let mut definition = Self { given: BTreeMap::new(), env_files: Vec::new(), own, files: inert(named, 200) };
        let mut found = false;
        for path in &paths {
            let text = read_text(path).map(|(_, _, text)| text)?;
            let root = tree(&text).ok_or_else(|| format!("{} cannot be understood", path.display()))?;
            let Some(node) = get(&root, "services").and_then(|services| get(&services, service)) else { continue };
            found = true;
            definition.take(&node, path, &folder)?;
        }
        if found { Ok(definition) } else { Err(format!("{} does not define the service", definition.files)) }
    }

    fn take(&mut self, service: &Node, path: &Path, folder: &Path) -> Result<(), String> {
        if get(service, "extends").is_some() {
            return Err(format!("the service extends another in {}", path.display()));
        }
        for (key, given) in get(service, "environment").map(|node| environment(&node)).unwrap_or_default() {
            self.given.insert(key, (given, path.to_owned()));
        }
        let listed = match get(service, "env_file").as_deref() {
            None | Some(Node::Null) => Vec::new(),
            Some(Node::Word(one)) => vec![Some(one.clone())],
            Some(Node::List(several)) => several.iter().map(|node| env_path(node)).collect(),
            Some(Node::Map(_)) => vec![None],
        };
        for name in listed {
            match name {
                Some(name) if !name.contains('$') => self.env_files.push(folder.join(name)),
                _ => return Err(format!("which files are its `env_file` depends on variables, in {}", path.display())),
            }
        }
        Ok(())
    }

    /// Whether this file brings this variable into the service.
    pub(super) fn origin(&self, file: &EnvFile, key: &str) -> Origin {
        let is_it = |path: &Path| path.canonicalize().is_ok_and(|path| path == file.path());
        match self.given.get(key) {
            Some((Given::Fixed, path)) => {
                return Origin::Else(format!("`environment:` of the service in {} sets it", path.display()));
            }
            Some((Given::Passed, path)) if !is_it(&self.own) => {
                return Origin::Else(format!(
                    "`environment:` of the service in {} takes it from {} or from the shell",
                    path.display(),
                    self.own.display()
                ));
            }
            Some((Given::Passed, _)) => return Origin::ThisFile,
            None => {}
        }
        let Some(at) = self.env_files.iter().position(|path| is_it(path)) else {
            return Origin::Else(format!("nothing in {} brings it from there into the service", self.files));
        };
        for later in self.env_files.iter().skip(at + 1) {
            match EnvFile::read(later).map(|later| later.says(key, "")) {
                Ok(Says::Nothing) => {}
                Ok(_) => return Origin::Else(format!("{}, a later `env_file` of the service, sets it", later.display())),
                Err(why) => return Origin::Unknown(why),
            }
        }
        Origin::ThisFile
    }
}

fn env_path(node: &Node) -> Option<String> {
    match node {
        Node::Word(path) => Some(path.clone()),
        Node::Map(_) => match get(node, "path").as_deref() {
            Some(Node::Word(path)) => Some(path.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn environment(node: &Node) -> BTreeMap<String, Given> {
    let mut found = BTreeMap::new();
    match node {
        Node::List(lines) => {
            for line in lines {
                let Node::Word(line) = &**line else { continue };
                match line.split_once('=') {
                    Some((key, value)) => found.insert(key.to_owned(), given(key, value)),
                    None => found.insert(line.clone(), Given::Passed),
                };
            }
        }
        Node::Map(_) => {
            for key in keys(node) {
                let how = match get(node, &key).as_deref() {
                    Some(Node::Null) => Given::Passed,
                    Some(Node::Word(value)) => given(&key, value),
                    _ => Given::Fixed,
                };
                found.insert(key, how);
            }
        }
        _ => {}
    }
    found
}

/// Whether a value is nothing but the variable itself: `$KEY`, `${KEY}`, `${KEY:-2}` and their like.
fn given(key: &str, value: &str) -> Given {
    let value = value.trim();
    let bare = value.strip_prefix('$').is_some_and(|rest| rest == key);
    let braced = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).and_then(|rest| rest.strip_prefix(key));
    let plain = |rest: &str| !rest.contains(['$', '}']) && (rest.is_empty() || rest.starts_with([':', '-', '?']));
    if bare || braced.is_some_and(plain) { Given::Passed } else { Given::Fixed }
}

#[derive(Debug)]
enum Node {
    Null,
    Word(String),
    List(Vec<Arc<Node>>),
    Map(Vec<(String, Arc<Node>)>),
}

/// The value of a key, also from what is merged in by `<<`.
fn get(node: &Node, key: &str) -> Option<Arc<Node>> {
    let mut found = None;
    walk(node, DEEPEST, &mut HashSet::new(), &mut |name, value| {
        if name == key && found.is_none() {
            found = Some(value.clone());
        }
    });
    found
}

fn keys(node: &Node) -> Vec<String> {
    let mut keys = Vec::new();
    walk(node, DEEPEST, &mut HashSet::new(), &mut |name, _| keys.push(name.to_owned()));
    keys
}

/// Every entry of a map, its own first, then what is merged in. Nothing is walked twice: a merge may be repeated endlessly.
fn walk(node: &Node, depth: u32, seen: &mut HashSet<*const Node>, take: &mut impl FnMut(&str, &Arc<Node>)) {
    let Node::Map(entries) = node else { return };
    if !seen.insert(std::ptr::from_ref(node)) {
        return;
    }
    for (name, value) in entries.iter().filter(|(name, _)| name != "<<") {
        take(name, value);
    }
    let Some(depth) = depth.checked_sub(1) else { return };
    for (_, merged) in entries.iter().filter(|(name, _)| name == "<<") {
        match &**merged {
            Node::List(several) => several.iter().for_each(|node| walk(node, depth, seen, take)),
            one => walk(one, depth, seen, take),
        }
    }
}

enum Open {
    List(usize, Vec<Arc<Node>>),
    Map(usize, Vec<(String, Arc<Node>)>, Option<String>),
}

/// The first document of a text as a tree; none when it cannot be understood. Repeated nodes are shared, not copied.
fn tree(text: &str) -> Option<Arc<Node>> {
    let options: Options = granit_parser::options! { emit_comments: false, flow_nesting_limit: 32, block_nesting_limit: 32 };
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: BTreeMap<usize, Arc<Node>> = BTreeMap::new();
    let mut count = 0;
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, _) = next.ok()?;
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let null = style == ScalarStyle::Plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                (Arc::new(if null { Node::Null } else { Node::Word(text.into_owned()) }), anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                open.push(Open::List(anchor, Vec::new()));
                continue;
            }
            Event::MappingStart(_, anchor, _) => {
                open.push(Open::Map(anchor, Vec::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop()? {
                Open::List(anchor, items) => (Arc::new(Node::List(items)), anchor),
                Open::Map(anchor, entries, _) => (Arc::new(Node::Map(entries)), anchor),
            },
            Event::Alias(id) => (anchors.get(&id)?.clone(), 0),
            _ => continue,
        };
        count += 1;
        if count > MOST_NODES {
            return None;
        }
        if anchor != 0 {
            anchors.insert(anchor, node.clone());
        }
        match open.last_mut() {
            None => return Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, entries, key)) => match (key.take(), &*node) {
                (Some(key), _) => entries.push((key, node)),
                (None, Node::Word(word)) => *key = Some(word.clone()),
                (None, Node::Null) => *key = Some(String::new()),
                (None, _) => return None,
            },
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSE: &str = r#"
version: "3.8"
x-common: &common
  LEVEL: info
  MERGED: ${MERGED}
services:
  worker:
    image: worker
    env_file: [settings.env, "late.env"]
    environment:
      <<: *common
      FIXED: "4"
      OTHER: ${SOMETHING}
      BOTH: ${BOTH}${BOTH}
      PASSED:
      SELF: ${SELF:-2}
      BARE: $BARE
  web:
    env_file: settings.env
    environment: [FIXED=4, PASSED, "SELF=${SELF}", "EMPTY="]
  variable: {env_file: "${WHERE}/settings.env"}
  longer: {env_file: [{path: settings.env, required: false}]}
  extended: {extends: {service: web}, env_file: settings.env}
"#;

    fn project() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("docker-compose.yml", COMPOSE),
            (".env", "SELF=1\n"),
            ("settings.env", "A=1\nLATE=1\n"),
            ("late.env", "LATE=2\n"),
            ("over.yml", "services: {web: {environment: {A: '5'}}}\n"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn labels(folder: &Path, service: &str, files: &str) -> HashMap<String, String> {
        [(CONFIG_FILES, files), (WORKING_DIR, folder.to_str().unwrap()), (label::SERVICE, service)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn what_brings_a_variable_is_told_apart() {
        let folder = project();
        let (settings, own) = (folder.path().join("settings.env"), folder.path().join(".env"));
        let table = [
            ("worker", &settings, "A", "this file"),
            ("worker", &settings, "LATE", "a later `env_file`"),
            ("worker", &settings, "FIXED", "`environment:` of the service"),
            ("worker", &settings, "OTHER", "`environment:` of the service"),
            ("worker", &settings, "BOTH", "`environment:` of the service"),
            ("worker", &settings, "LEVEL", "`environment:` of the service"),
            ("worker", &settings, "SELF", ".env or from the shell"),
            ("worker", &own, "SELF", "this file"),
            ("worker", &own, "BARE", "this file"),
            ("worker", &own, "PASSED", "this file"),
            ("worker", &own, "MERGED", "this file"),
            ("worker", &own, "A", "nothing in docker-compose.yml brings it"),
            ("web", &settings, "A", "this file"),
            ("web", &settings, "FIXED", "`environment:` of the service"),
            ("web", &settings, "EMPTY", "`environment:` of the service"),
            ("web", &own, "PASSED", "this file"),
            ("web", &own, "SELF", "this file"),
            ("longer", &settings, "A", "this file"),
        ];
        for (service, path, key, wanted) in table {
            let definition = Definition::read(&labels(folder.path(), service, "docker-compose.yml")).unwrap();
            let said = match definition.origin(&EnvFile::read(path).unwrap(), key) {
                Origin::ThisFile => "this file".to_owned(),
                Origin::Else(what) => what,
                Origin::Unknown(why) => why,
            };
            assert!(said.contains(wanted), "{service} {key}: {said}");
        }
    }

    #[test]
    fn a_later_compose_file_counts_more() {
        let folder = project();
        let definition = Definition::read(&labels(folder.path(), "web", "docker-compose.yml,over.yml")).unwrap();
        let settings = EnvFile::read(&folder.path().join("settings.env")).unwrap();
        assert!(matches!(definition.origin(&settings, "A"), Origin::Else(what) if what.contains("over.yml")));
        assert_eq!(definition.origin(&settings, "LATE"), Origin::ThisFile);
    }

    #[test]
    fn what_cannot_be_told_is_unknown_with_its_reason() {
        let folder = project();
        std::fs::write(folder.path().join("broken.yml"), "services: {web: [\n").unwrap();
        for (service, files, wanted) in [
            ("worker", "none.yml", "cannot be found"),
            ("worker", "broken.yml", "cannot be understood"),
            ("nobody", "docker-compose.yml", "does not define the service"),
            ("variable", "docker-compose.yml", "depends on variables"),
            ("extended", "docker-compose.yml", "extends another"),
        ] {
            let why = Definition::read(&labels(folder.path(), service, files)).unwrap_err();
            assert!(why.contains(wanted), "{service}: {why}");
        }
        assert!(Definition::read(&HashMap::new()).unwrap_err().contains("no label"));
    }

    #[test]
    fn an_alias_bomb_is_neither_unfolded_nor_followed() {
        let mut text = "a0: &a0 {k: v}\n".to_owned();
        for n in 1..30 {
            text.push_str(&format!("a{n}: &a{n} {{<<: [*a{0}, *a{0}, *a{0}]}}\n", n - 1));
        }
        text.push_str("services: {web: {environment: *a29}}\n");
        let root = tree(&text).unwrap();
        assert!(get(&root, "services").is_some());
        assert!(get(&get(&root, "a3").unwrap(), "k").is_some() && get(&get(&root, "a29").unwrap(), "k").is_none());
    }
}
