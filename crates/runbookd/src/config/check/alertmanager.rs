//! Alertmanager's configuration: does a receiver deliver to us whole, do routes lead to it, and do people still hear of
//! things. Facts about routing and delivery are Alertmanager's own (dispatch/route.go, docs/configuration.md): children are
//! tried in order, a match without `continue` ends it, and a parent's receiver counts only where no child matched.

use runbook::Span;
use runbook::alert::ALERTNAME;
use runbook::book::Runbook;
use runbook::matcher::{Matcher, Op};
use serde::Deserialize;

use super::rules::{ABOUT_US, Rule, our_own};
use super::{Certainty, paging};
use crate::config::Loaded;
use crate::config::complaint::Severity;
use crate::config::yaml::{Bytes, Document, Entries, Kind, Placed, Raw, Reader};

/// The path under which runbookd takes deliveries.
const OUR_PATH: &str = "/webhook/alertmanager";
/// Alertmanager's own, where a file says nothing.
const USUAL: Waits = Waits { hold: Span::secs(30), interval: Span::secs(300), repeat: Span::secs(4 * 3600) };

/// How long a route waits.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    /// `group_wait`: before the first word of a group.
    pub(super) hold: Span,
    /// `group_interval`: between two words of one group.
    pub(super) interval: Span,
    /// `repeat_interval`: before the same is said again.
    repeat: Span,
}

#[derive(Deserialize)]
struct WrittenFile {
    route: Option<Placed<WrittenRoute>>,
    receivers: Option<Placed<Vec<Placed<Raw>>>>,
}

#[derive(Deserialize)]
struct WrittenRoute {
    receiver: Option<Placed<String>>,
    matchers: Option<Placed<Vec<Placed<String>>>>,
    #[serde(rename = "match")]
    equal: Option<Placed<Entries<Placed<String>>>>,
    match_re: Option<Placed<Entries<Placed<String>>>>,
    #[serde(rename = "continue")]
    goes_on: Option<Placed<bool>>,
    group_wait: Option<Placed<Span>>,
    group_interval: Option<Placed<Span>>,
    repeat_interval: Option<Placed<Span>>,
    routes: Option<Placed<Vec<Placed<WrittenRoute>>>>,
}

impl WrittenRoute {
    fn children(&self) -> &[Placed<WrittenRoute>] {
        self.routes.as_ref().and_then(Placed::get).map_or(&[][..], Vec::as_slice)
    }

    /// What matches it is offered to the next route as well.
    fn goes_on(&self) -> bool {
        self.goes_on.as_ref().and_then(Placed::get) == Some(&true)
    }

    /// Its waits, where those above have these.
    fn waits(&self, above: Waits) -> Waits {
        let own = |placed: &Option<Placed<Span>>, above| placed.as_ref().and_then(Placed::get).copied().unwrap_or(above);
        Waits {
            hold: own(&self.group_wait, above.hold),
            interval: own(&self.group_interval, above.interval),
            repeat: own(&self.repeat_interval, above.repeat),
        }
    }
}

#[derive(Deserialize)]
struct WrittenReceiver {
    name: Option<Placed<String>>,
    webhook_configs: Option<Placed<Vec<Placed<WrittenWebhook>>>>,
}

#[derive(Deserialize)]
struct WrittenWebhook {
    url: Option<Placed<String>>,
    url_file: Option<Placed<String>>,
    send_resolved: Option<Placed<bool>>,
    max_alerts: Option<Placed<u64>>,
    http_config: Option<Placed<Raw>>,
}

/// A receiver that delivers to us.
struct Ours {
    name: String,
    /// It tells somebody else as well.
    tells_others: bool,
}

/// Checks the file; complaints go on its list. Gives the longest that a route to us waits before it tells us of an alert, where
/// there is one. `handled` are the rules that a runbook is for, `about_us` those about runbookd itself.
pub fn check(loaded: &Loaded, document: &Document, handled: &[&Rule<'_>], about_us: &[&Rule<'_>]) -> Option<Span> {
    let root = document.root()?;
    let written = Reader::new(document, root).lenient().read::<WrittenFile>()?;
    let receivers = written.receivers.as_ref().and_then(Placed::get);
    let ours: Vec<Ours> = receivers
        .into_iter()
        .flatten()
        .filter_map(Placed::get)
        .filter_map(|Raw(node)| receiver(loaded, document, *node))
        .collect();
    let start = document.at(root);
    if ours.is_empty() {
        let message = format!("no receiver here has a webhook whose address ends in {OUR_PATH}, so nothing is ever delivered");
        document.complain(start, message, format!("add a receiver with url: http://RUNBOOKD:9095{OUR_PATH}"));
        return None;
    }
    let Some(route) = &written.route else {
        document.complain(start, "`route` is missing here", "add `route:` with a route to the receiver that delivers to us");
        return None;
    };
    let routes = Routes { loaded, document, ours: &ours };
    let mut ours_wait = Vec::new();
    routes.walk(route, USUAL, None, &mut ours_wait);
    if ours_wait.is_empty() {
        document.complain(
            route.at(),
            format!(
                "no route leads to the receiver `{}`",
                ours.iter().map(|ours| ours.name.as_str()).collect::<Vec<_>>().join("`, `")
            ),
            "add a route with that `receiver` and `continue: true` before those for people",
        );
        return None;
    }
    for rule in handled {
        if routes.reaches(route, rule, true).0 == Certainty::No {
            rule.document.say(
                Severity::Warning,
                rule.at.clone(),
                format!("a runbook is for `{}`, and Alertmanager's routes never bring it to runbookd", rule.name),
                "add a route for it, or set `continue: true` on the one that stops before",
            );
        }
    }
    for rule in about_us.iter().filter(|rule| rule.carries(ABOUT_US).1 == Some("never")) {
        if routes.reaches(route, rule, true).0 != Certainty::No {
            rule.document.say(
                Severity::Warning,
                rule.at.clone(),
                format!("`{}` is about runbookd itself, and Alertmanager's routes bring it to runbookd", rule.name),
                "put a route for people with `matchers: ['runbookd=\"never\"']` and without `continue` before the others",
            );
        }
    }
    watched(loaded, document, route, &routes, about_us);
    let mut people = Vec::new();
    for rule in handled {
        routes.people_for(route, USUAL, true, rule, &mut people);
    }
    paging::complain(loaded, document, &people);
    if loaded.daemon.alertmanagers.iter().any(|alertmanager| alertmanager.calls_people) {
        let ours = our_own(document, route.at());
        let mut people = Vec::new();
        routes.people_for(route, USUAL, true, &ours, &mut people);
        paging::complain_of_ours(document, &ours, &people, routes.reaches(route, &ours, true).0 != Certainty::No);
    }
    ours_wait.into_iter().map(|waits| waits.hold.max(waits.interval)).max()
}

/// Whether anybody notices when alerts stop coming.
fn watched(loaded: &Loaded, document: &Document, route: &Placed<WrittenRoute>, routes: &Routes<'_>, about_us: &[&Rule<'_>]) {
    let Some(watchdog) = &loaded.daemon.watchdog else {
        let message = "nobody notices when alerts stop coming to runbookd: runbookd.yaml has no `watchdog`";
        document.say(
            Severity::Note,
            route.at(),
            message,
            "add `watchdog: {ping: {file: PATH}}` with the address of an outside check",
        );
        return;
    };
    if watchdog.ping.is_none() {
        let message = "nobody outside notices when runbookd or its machine is gone: `watchdog` in runbookd.yaml has no `ping`";
        document.say(Severity::Note, route.at(), message, "add `ping: {file: PATH}` with the address of an outside check");
    }
    let unrouted =
        about_us.iter().filter(|rule| rule.name == watchdog.alert && routes.reaches(route, rule, true).0 == Certainty::No);
    for rule in unrouted {
        let message = format!("`{}` is to be heard every minute, and no route brings it to runbookd", rule.name);
        let mend = "put a route to our receiver with `matchers` for it and `repeat_interval: 1m` before those for people";
        rule.document.say(Severity::Warning, rule.at.clone(), message, mend);
    }
}

/// Looks at one receiver; some where it delivers to us.
fn receiver(loaded: &Loaded, document: &Document, node: crate::config::yaml::NodeId) -> Option<Ours> {
    let written: WrittenReceiver = Reader::new(document, node).lenient().read()?;
    let name = written.name.as_ref()?;
    let webhooks = written.webhook_configs.as_ref()?.get()?;
    let mut found = None;
    for placed in webhooks {
        let Some(webhook) = placed.get() else { continue };
        if let (None, Some(file)) = (&webhook.url, &webhook.url_file) {
            document.say(Severity::Note, file.at(), "this address stands in another file and cannot be judged", "");
        }
        let Some(url) = &webhook.url else { continue };
        let address = url.get().map(|url| url.split(['?', '#']).next().unwrap_or_default()).unwrap_or_default();
        if address.strip_suffix('/').is_some_and(|address| address.ends_with(OUR_PATH)) {
            document.complain(
                url.at(),
                "the slash at the end makes this another path, which is answered 404",
                "remove the slash",
            );
        } else if !address.ends_with(OUR_PATH) {
            continue;
        }
        found = Some(());
        delivery(loaded, document, placed.at(), webhook);
    }
    found?;
    let name_text = name.get()?;
    let known = &loaded.daemon.alertmanagers;
    if !known.is_empty() && !known.iter().any(|alertmanager| alertmanager.receiver == *name_text) {
        document.complain(
            name.at(),
            format!(
                "this receiver delivers to us, and runbookd.yaml asks only for `{}`",
                known.first().map_or("", |first| &first.receiver)
            ),
            format!(
                "write `receiver: {name_text}` at `alertmanager` in runbookd.yaml: what still fires is asked for by receiver"
            ),
        );
    }
    let integrations = match document.kind(node) {
        Kind::Map(entries) => entries.iter().filter(|(key, _)| key.text.ends_with("_configs")).count(),
        _ => 0,
    };
    Some(Ours { name: name_text.clone(), tells_others: integrations > 1 || webhooks.len() > 1 })
}

fn delivery(loaded: &Loaded, document: &Document, at: Bytes, webhook: &WrittenWebhook) {
    if let Some(placed) = &webhook.send_resolved
        && placed.get() == Some(&false)
    {
        let message = "alerts that end are not delivered, so an incident that waits is not called off";
        document.say(Severity::Warning, placed.at(), message, "write `send_resolved: true`");
    }
    if let Some(placed) = &webhook.max_alerts
        && placed.get().is_some_and(|most| *most != 0)
    {
        let message = "alerts beyond this number are left out, always the same ones";
        document.say(Severity::Warning, placed.at(), message, "write `max_alerts: 0`, which means all");
    }
    let config = webhook.http_config.as_ref().and_then(Placed::get);
    let proves = config.is_some_and(|Raw(node)| {
        ["authorization", "bearer_token", "bearer_token_file"].iter().any(|key| document.get(*node, key).is_some())
    });
    if !proves && !loaded.daemon.webhook_open {
        document.say(
            Severity::Warning,
            at,
            "deliveries come without a token and will be answered 401",
            "add `http_config: {authorization: {credentials_file: PATH}}` with the token of the state directory",
        );
    }
}

/// A route by which people hear of a rule's alerts.
pub(super) struct Route<'a> {
    /// Where it stands.
    pub(super) at: Bytes,
    /// Its waits, inherited ones too.
    pub(super) waits: Waits,
    /// The rule.
    pub(super) rule: &'a Rule<'a>,
}

struct Routes<'a> {
    loaded: &'a Loaded,
    document: &'a Document,
    ours: &'a [Ours],
}

impl Routes<'_> {
    fn leads_to_us(&self, route: &WrittenRoute) -> Option<&Ours> {
        let name = route.receiver.as_ref()?.get()?;
        self.ours.iter().find(|ours| ours.name == *name)
    }

    /// Visits a route and those below, and keeps the waits of those that lead to us. `after` is how many siblings follow; none
    /// for the root.
    fn walk(&self, placed: &Placed<WrittenRoute>, inherited: Waits, after: Option<usize>, ours_wait: &mut Vec<Waits>) {
        let Some(route) = placed.get() else { return };
        let waits = route.waits(inherited);
        if let Some(ours) = self.leads_to_us(route) {
            ours_wait.push(waits);
            self.people(placed, route, ours, after);
            let at = route.group_interval.as_ref().map_or(placed.at(), Placed::at);
            self.resends(at, waits);
        }
        let children = route.children();
        for (index, child) in children.iter().enumerate() {
            self.walk(child, waits, Some(children.len() - index - 1), ours_wait);
        }
    }

    /// Collects the routes by which people may hear of a rule's alerts; says whether they match this one.
    fn people_for<'r>(
        &self,
        placed: &Placed<WrittenRoute>,
        inherited: Waits,
        is_root: bool,
        rule: &'r Rule<'r>,
        people: &mut Vec<Route<'r>>,
    ) -> Certainty {
        let Some(route) = placed.get() else { return Certainty::Perhaps };
        let matched = if is_root { Certainty::Yes } else { self.matched(route, rule) };
        if matched == Certainty::No {
            return matched;
        }
        let waits = route.waits(inherited);
        let mut by_child = Certainty::No;
        for child in route.children() {
            let child_matched = self.people_for(child, waits, false, rule, people);
            by_child = by_child.max(child_matched);
            if child_matched == Certainty::Yes && !child.get().is_some_and(WrittenRoute::goes_on) {
                break;
            }
        }
        if by_child != Certainty::Yes && self.leads_to_us(route).is_none() {
            people.push(Route { at: placed.at(), waits, rule });
        }
        matched
    }

    /// Whether people still hear of what comes to us.
    fn people(&self, placed: &Placed<WrittenRoute>, route: &WrittenRoute, ours: &Ours, after: Option<usize>) {
        let goes_on = route.goes_on();
        let (message, mend) = match after {
            _ if ours.tells_others => return,
            // The root's receiver is for what no child takes; people have the children.
            None => return,
            // Nobody wants to hear of a heartbeat; it is for us alone.
            Some(_) if self.is_heartbeat(route) => return,
            Some(_) if !goes_on => ("what comes here ends here: no person hears of it from Alertmanager", "add `continue: true`"),
            Some(0) => (
                "`continue: true` on the last route leads nowhere: the receiver above counts only where no route matched",
                "add a route for people after this one",
            ),
            Some(_) => return,
        };
        self.document.say(Severity::Warning, placed.at(), message, mend);
    }

    fn is_heartbeat(&self, route: &WrittenRoute) -> bool {
        let name = self.loaded.daemon.watchdog.as_ref().map_or("Watchdog", |watchdog| watchdog.alert.as_str());
        self.matchers(route).is_some_and(|all| {
            all.iter().any(|matcher| (matcher.name(), matcher.op(), matcher.value()) == (ALERTNAME, Op::Equal, name))
        })
    }

    /// A cooldown that is over before the alert can be sent again holds nothing back.
    fn resends(&self, at: Bytes, waits: Waits) {
        let acting = || {
            let all = self.loaded.configuration.runbooks.values();
            all.filter(|runbook| runbook.matches.is_some() && !runbook.remedies.is_empty())
        };
        let named = |short: Vec<&Runbook>| short.iter().map(|runbook| runbook.name.as_str()).collect::<Vec<_>>().join("`, `");
        let interval = waits.interval;
        let short: Vec<&Runbook> = acting().filter(|runbook| runbook.limits.cooldown < interval).collect();
        if !short.is_empty() {
            let message = format!(
                "an alert is sent again after {interval} at the soonest, and the cooldown of `{}` is over by then: it holds nothing back",
                named(short)
            );
            self.document.say(Severity::Warning, at.clone(), message, format!("make the cooldown longer than {interval}"));
        }
        let repeat = waits.repeat;
        let short: Vec<&Runbook> = acting()
            .filter(|runbook| (interval..repeat).contains(&runbook.limits.cooldown) && runbook.limits.rate.is_empty())
            .collect();
        if !short.is_empty() {
            let message = format!(
                "an alert that stays is sent again every {repeat}, the cooldown of `{}` is over by then, and no `rate` ends it",
                named(short)
            );
            let mend = format!("add `limits: {{rate: [3/1h, 7/24h]}}`, or make the cooldown longer than {repeat}");
            self.document.say(Severity::Warning, at, message, mend);
        }
    }

    /// Whether alerts of a rule come to us by this route, and whether they match it.
    fn reaches(&self, placed: &Placed<WrittenRoute>, rule: &Rule<'_>, is_root: bool) -> (Certainty, Certainty) {
        let Some(route) = placed.get() else { return (Certainty::Perhaps, Certainty::Perhaps) };
        let matched = if is_root { Certainty::Yes } else { self.matched(route, rule) };
        if matched == Certainty::No {
            return (Certainty::No, Certainty::No);
        }
        let (mut reached, mut by_child) = (Certainty::No, Certainty::No);
        for child in route.children() {
            let (through, child_matched) = self.reaches(child, rule, false);
            reached = reached.max(through);
            by_child = by_child.max(child_matched);
            if child_matched == Certainty::Yes && !child.get().is_some_and(WrittenRoute::goes_on) {
                break;
            }
        }
        if self.leads_to_us(route).is_some() && by_child != Certainty::Yes {
            reached = reached.max(if by_child == Certainty::No { Certainty::Yes } else { Certainty::Perhaps });
        }
        (reached.min(matched), matched)
    }

    fn matched(&self, route: &WrittenRoute, rule: &Rule<'_>) -> Certainty {
        self.matchers(route).map_or(Certainty::Perhaps, |all| rule.satisfies(&all))
    }

    /// What a route asks for, in whichever way it is written; none where that cannot be read.
    fn matchers(&self, route: &WrittenRoute) -> Option<Vec<Matcher>> {
        let mut all = Vec::new();
        for entry in route.matchers.iter().filter_map(Placed::get).flatten().filter_map(Placed::get) {
            // Alertmanager's own check speaks about what is wrong; here it only means that nothing is known.
            all.extend(Matcher::parse(entry).ok()?);
        }
        for (entries, op) in [(&route.equal, Op::Equal), (&route.match_re, Op::Matches)] {
            for (name, value) in entries.iter().filter_map(Placed::get).flat_map(|entries| &entries.0) {
                all.push(Matcher::new(name.get()?, op, value.get()?).ok()?);
            }
        }
        Some(all)
    }
}
