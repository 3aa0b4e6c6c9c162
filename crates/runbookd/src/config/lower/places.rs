//! Where a target is, by its kind: the second half of an entry of `targets.yaml`. Apart from `targets` because every kind
//! has keys of its own. Deliberately connects to nothing; `doctor` does.

use std::path::Path;

use runbook::target::{EngineTls, Kind, Login, Place, Scope, TargetId};
use runbook::text::inert;

use super::targets::Targets;
use super::{http_url, may, need, need_text, path_from, secrets, user_in_address};
use crate::config::written::WrittenLogin;
use crate::config::written::targets::{
    TRAIT_KEYS, WrittenEngine, WrittenEngineTls, WrittenHttp, WrittenPostgres, WrittenPrometheus, WrittenQueue, WrittenRabbitmq,
    WrittenRedis, WrittenRehearsal, WrittenService,
};
use crate::config::yaml::{Bytes, Document, NodeId, Placed, Reader};

/// What is needed to read one place.
struct Entry<'a> {
    document: &'a Document,
    base: &'a Path,
    all: &'a Targets,
    id: &'a TargetId,
    key: &'a Bytes,
}

/// Reads where a target is.
pub fn place(document: &Document, base: &Path, all: &Targets, id: &TargetId, key: &Bytes, node: NodeId) -> Option<Place> {
    let entry = Entry { document, base, all, id, key };
    let reader = Reader::new(document, node).aside(&TRAIT_KEYS);
    match id.kind {
        Kind::Postgres => entry.postgres(&reader.read()?),
        Kind::Redis => entry.redis(&reader.read()?),
        Kind::Rabbitmq => entry.rabbitmq(&reader.read()?),
        Kind::Queue => entry.queue(&reader.read()?),
        Kind::Service => entry.service(&reader.read()?),
        Kind::Engine => entry.engine(&reader.read()?),
        Kind::Http => entry.http(&reader.read()?),
        Kind::Prometheus => entry.prometheus(&reader.read()?),
        Kind::Rehearsal => entry.rehearsal(&reader.read()?),
    }
}

impl Entry<'_> {
    fn text(&self, placed: &Placed<String>, key: &str) -> Option<String> {
        need_text(self.document, self.key.clone(), placed, key).map(str::to_owned)
    }

    fn host(&self, placed: &Placed<String>) -> Option<String> {
        let host = self.text(placed, "host")?;
        if host.contains('@') {
            user_in_address(self.document, placed);
            return None;
        }
        if host.contains("://") || host.contains(' ') || (host.contains('/') && !host.starts_with('/')) {
            self.document.complain(
                placed.at(),
                format!("`{}` is no host", inert(&host, 60)),
                "write the name or address alone; port, user and database have keys of their own",
            );
            return None;
        }
        Some(host)
    }

    fn port(&self, placed: &Option<Placed<u16>>, usual: u16) -> u16 {
        let port = may(placed).copied().unwrap_or(usual);
        if port == 0
            && let Some(placed) = placed
        {
            self.document.complain(placed.at(), "0 is no port to connect to", format!("write the port, usually {usual}"));
        }
        port
    }

    fn need_login(&self, placed: &Placed<WrittenLogin>, key: &str) -> Option<Login> {
        need(self.document, self.key.clone(), placed, key)?;
        secrets::login(self.document, self.base, placed)
    }

    fn may_login(&self, placed: &Option<Placed<WrittenLogin>>) -> Option<Login> {
        placed.as_ref().and_then(|placed| secrets::login(self.document, self.base, placed))
    }

    fn two_logins(&self, look: Option<&Login>, act: Option<&Login>, placed: &Option<Placed<WrittenLogin>>) {
        if let (Some(look), Some(act), Some(placed)) = (look, act, placed)
            && look.user == act.user
        {
            self.document.say(
                crate::config::Severity::Warning,
                placed.at(),
                format!("looking and acting use the same login on `{}`", self.id),
                "use two, so that a look can never change anything; deploy/sql has the roles for PostgreSQL",
            );
        }
    }

    fn other(&self, placed: &Placed<TargetId>, key: &str, kind: Kind) -> Option<TargetId> {
        let id = need(self.document, self.key.clone(), placed, key)?;
        if id.kind != kind {
            let message = format!("`{key}` must be a target of kind {}, and `{id}` is a {}", kind.word(), id.kind.word());
            self.document.complain(placed.at(), message, format!("write {}/NAME", kind.word()));
            return None;
        }
        self.all.demand(self.document, placed.at(), id).then(|| id.clone())
    }

    fn postgres(&self, written: &WrittenPostgres) -> Option<Place> {
        let host = self.host(&written.host);
        let database = self.text(&written.database, "database");
        let port = self.port(&written.port, 5432);
        let look = self.need_login(&written.look, "look");
        let act = self.may_login(&written.act);
        self.two_logins(look.as_ref(), act.as_ref(), &written.act);
        Some(Place::Postgres {
            host: host?,
            port,
            database: database?,
            tls: may(&written.tls).copied().unwrap_or(false),
            look: look?,
            act,
            terminate_by: may(&written.terminate_by).copied().unwrap_or_default(),
        })
    }

    fn redis(&self, written: &WrittenRedis) -> Option<Place> {
        let host = self.host(&written.host);
        let port = self.port(&written.port, 6379);
        let (look, act) = (self.may_login(&written.look), self.may_login(&written.act));
        self.two_logins(look.as_ref(), act.as_ref(), &written.act);
        Some(Place::Redis { host: host?, port, tls: may(&written.tls).copied().unwrap_or(false), look, act })
    }

    fn rabbitmq(&self, written: &WrittenRabbitmq) -> Option<Place> {
        let host = self.host(&written.host);
        let port = self.port(&written.port, 5672);
        need(self.document, self.key.clone(), &written.management, "management");
        let management = http_url(self.document, &written.management, "http://rabbitmq:15672");
        let look = self.need_login(&written.look, "look");
        let act = self.may_login(&written.act);
        self.two_logins(look.as_ref(), act.as_ref(), &written.act);
        let vhost = may(&written.vhost).map_or("/", String::as_str).to_owned();
        Some(Place::Rabbitmq { host: host?, port, management: management?, vhost, look: look?, act })
    }

    fn queue(&self, written: &WrittenQueue) -> Option<Place> {
        let broker = self.other(&written.broker, "broker", Kind::Rabbitmq);
        let queue = may(&written.queue).unwrap_or(&self.id.name).clone();
        Some(Place::Queue { broker: broker?, queue })
    }

    fn service(&self, written: &WrittenService) -> Option<Place> {
        let engine = self.other(&written.engine, "engine", Kind::Engine);
        let project = self.text(&written.project, "project");
        let service = may(&written.service).unwrap_or(&self.id.name).clone();
        let scope = self.scope(written);
        Some(Place::Service { engine: engine?, project: project?, service, scope: scope? })
    }

    fn scope(&self, written: &WrittenService) -> Option<Scope> {
        let replicas = may(&written.replicas).copied().unwrap_or(1);
        let at_most = may(&written.at_most).copied().unwrap_or(replicas);
        if let Some(placed) = &written.at_most
            && at_most < replicas
        {
            let message = format!("at most {at_most} is fewer than the {replicas} it usually has");
            self.document.complain(placed.at(), message, "write a larger number, or leave `at_most` away");
        }
        let env_file = match &written.env_file {
            None => None,
            Some(placed) => Some(path_from(self.base, placed.get()?).to_string_lossy().into_owned()),
        };
        let mut commands = std::collections::BTreeMap::new();
        for (name, argv) in may(&written.commands).map(|entries| entries.0.as_slice()).unwrap_or_default() {
            let (Some(name), Some(argv)) = (name.get(), argv.get()) else { continue };
            let words: Option<Vec<String>> = argv.iter().map(|word| word.get().cloned()).collect();
            match words {
                Some(words) if words.first().is_some_and(|program| !program.is_empty()) => {
                    commands.insert(name.clone(), words);
                }
                _ => self.document.complain(
                    self.key.clone(),
                    format!("the command `{}` names no program", runbook::text::inert(name, 60)),
                    "write a list of words, as in [nginx, -s, reload]; there is no shell",
                ),
            }
        }
        Some(Scope { replicas, at_most, env_file, commands })
    }

    fn socket(&self, placed: &Placed<String>) -> Option<String> {
        let text = placed.get()?;
        if let Some(path) = text.strip_prefix("unix://") {
            if path.starts_with('/') && path.len() > 1 {
                return Some(text.clone());
            }
            self.document.complain(placed.at(), "the socket's path is not absolute", "write unix:///var/run/docker.sock");
            return None;
        }
        http_url(self.document, placed, "unix:///var/run/docker.sock, http://proxy:2375 or https://proxy:2376")
    }

    fn engine(&self, written: &WrittenEngine) -> Option<Place> {
        need(self.document, self.key.clone(), &written.look, "look");
        let look = self.socket(&written.look);
        let act = written.act.as_ref().map(|act| self.socket(act));
        let inside = written.inside.as_ref().map(|inside| self.socket(inside));
        let tls = match &written.tls {
            None => None,
            Some(placed) => Some(self.engine_tls(placed.get()?)?),
        };
        let secure = [Some(&written.look), written.act.as_ref(), written.inside.as_ref()];
        for placed in secure.into_iter().flatten() {
            if tls.is_none() && placed.get().is_some_and(|address| address.starts_with("https://")) {
                self.document.complain(
                    placed.at(),
                    "an Engine over https wants a client certificate",
                    "add `tls` with ca, certificate and key",
                );
            }
        }
        Some(Place::Engine { look: look?, inside: inside.flatten(), act: act.flatten(), tls })
    }

    fn engine_tls(&self, written: &WrittenEngineTls) -> Option<EngineTls> {
        let path = |placed: &Placed<String>, name: &str| {
            let text = self.text(placed, name)?;
            Some(path_from(self.base, &text).to_string_lossy().into_owned())
        };
        let (ca, certificate) = (path(&written.ca, "ca"), path(&written.certificate, "certificate"));
        Some(EngineTls { ca: ca?, certificate: certificate?, key: path(&written.key, "key")? })
    }

    fn http(&self, written: &WrittenHttp) -> Option<Place> {
        need(self.document, self.key.clone(), &written.url, "url");
        // The path counts here, a slash at its end too, so the address stays as it was written.
        http_url(self.document, &written.url, "http://backend:8000/health")?;
        let expect = may(&written.expect).copied().unwrap_or(200);
        if !(100..600).contains(&expect)
            && let Some(placed) = &written.expect
        {
            self.document.complain(
                placed.at(),
                format!("{expect} is no status of HTTP"),
                "write 200, or another from 100 to 599",
            );
        }
        Some(Place::Http { url: written.url.get()?.clone(), expect })
    }

    fn prometheus(&self, written: &WrittenPrometheus) -> Option<Place> {
        need(self.document, self.key.clone(), &written.url, "url");
        let url = http_url(self.document, &written.url, "http://prometheus:9090");
        let token =
            written.token.as_ref().map(|token| secrets::secret(self.document, self.base, self.key.clone(), token, "token"));
        Some(Place::Prometheus { url: url?, token: token.flatten() })
    }

    fn rehearsal(&self, written: &WrittenRehearsal) -> Option<Place> {
        let ledger = self.text(&written.ledger, "ledger")?;
        Some(Place::Rehearsal { ledger: path_from(self.base, &ledger).to_string_lossy().into_owned() })
    }
}
